"""Makes test/fixtures/pipelines/unconditional.json: what diffusers' ConsistencyModelPipeline, ScoreSdeVePipeline, KarrasVePipeline and
RePaintPipeline draw with a tiny model of the tests and two whose weights are made from their keys. Run from the project's root with
diffusers 0.42.1, torch 2.13.0 and Pillow:

    python scripts/make_unconditional.py
"""
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import UNet2DModel

from made_pictures import mask_picture, picture, tensor
from made_weights import made

CIFAR = Path("test/fixtures/models/repos/ddpm-cifar")
OUT = Path("test/fixtures/pipelines/unconditional.json")
MODELS = {
    "classes": {
        "sample_size": 8,
        "block_out_channels": [8, 16],
        "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "num_class_embeds": 6,
        "resnet_time_scale_shift": "scale_shift",
    },
    "ncsnpp": {
        "sample_size": 8,
        "block_out_channels": [32, 64],
        "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"],
        "up_block_types": ["AttnSkipUpBlock2D", "SkipUpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": None,
        "attention_head_dim": None,
        "time_embedding_type": "fourier",
        "mid_block_scale_factor": 1.4142135623730951,
        "norm_eps": 1e-06,
    },
}
BOX = (3, 5, 12, 14)
INPUTS = {
    "tensor": lambda: 2 * tensor(16, 16) - 1,
    "two": lambda: torch.cat([2 * tensor(16, 16) - 1, 1 - 2 * tensor(16, 16)]),
    "picture": lambda: picture(32, 39),
    "pictures": lambda: [picture(32, 39), picture(39, 32)],
    "mask": lambda: torch.from_numpy(np.asarray(mask_picture(16, 16, BOX)) / 255).float()[None, None],
    "soft": lambda: torch.linspace(0, 1, 2 * 256).reshape(2, 1, 16, 16),
    "mask picture": lambda: mask_picture(47, 40, (4, 7, 30, 21)),
    "mask in colours": lambda: mask_picture(63, 63, (11, 20, 50, 41), "RGB"),
    "latents": lambda: torch.linspace(2, -2, 3 * 256).reshape(1, 3, 16, 16),
}
CM, VE, KARRAS, REPAINT = "ConsistencyModel", "ScoreSdeVe", "KarrasVe", "RePaint"
SCHEDULERS = {CM: "CMStochasticIterative", VE: "ScoreSdeVe", KARRAS: "KarrasVe", REPAINT: "RePaint"}
JUMPS = dict(num_inference_steps=10, jump_length=3, jump_n_sample=2)
# Pipeline, model, config of the scheduler, arguments, seeds.
CASES = [
    (CM, "cifar", {}, {}, [8]),
    (CM, "cifar", {}, dict(num_inference_steps=None, timesteps=[22, 0]), [8]),
    (CM, "cifar", dict(clip_denoised=False, sigma_max=3.0), dict(num_inference_steps=3, batch_size=2), [8, 9]),
    (CM, "cifar", {}, dict(num_inference_steps=2, latents="latents"), [8]),
    (CM, "classes", {}, dict(num_inference_steps=2, class_labels=3), [8]),
    (CM, "classes", dict(clip_denoised=False), dict(num_inference_steps=3, batch_size=2, class_labels=[5, 0]), [8]),
    (VE, "ncsnpp", dict(sigma_max=50.0), dict(num_inference_steps=4), [8]),
    (VE, "ncsnpp", dict(sigma_max=5.0, correct_steps=2), dict(num_inference_steps=3, batch_size=2), [8, 9]),
    (VE, "ncsnpp", dict(sigma_max=2.0, correct_steps=0), dict(num_inference_steps=3), [8]),
    (KARRAS, "cifar", dict(sigma_max=2.0), dict(num_inference_steps=4, batch_size=2), [8, 9]),
    (KARRAS, "ncsnpp", dict(sigma_max=3, s_churn=0), dict(num_inference_steps=3), [8]),
    (KARRAS, "ncsnpp", dict(sigma_max=10, s_max=9, s_noise=1.0), dict(num_inference_steps=3), [8]),
    (REPAINT, "cifar", {}, dict(image="tensor", mask_image="mask", **JUMPS), [8]),
    (REPAINT, "cifar", dict(clip_sample=False), dict(image="two", mask_image="soft", eta=0.5, **JUMPS), [8, 9]),
    (REPAINT, "cifar", {}, dict(image="two", mask_image="mask", eta=1.0, **JUMPS), [8]),
    (REPAINT, "cifar", {}, dict(image="picture", mask_image="mask picture", num_inference_steps=3, jump_length=2, jump_n_sample=2), [8]),
    (REPAINT, "cifar", {}, dict(image="pictures", mask_image="mask in colours", eta=0.3, num_inference_steps=3), [8]),
]


def model(name):
    if name == "cifar":
        return UNet2DModel.from_pretrained(CIFAR)
    unet = UNet2DModel(**MODELS[name]).eval()
    unet.load_state_dict({key: made(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
    return unet


def record(scheduler):
    """Keeps what the last step of any kind gave: the pictures are clamped."""
    last = []
    for name in ("step", "step_pred", "step_correct", "undo_step"):
        if hasattr(scheduler, name):
            method = getattr(scheduler, name)

            def wrapped(*args, method=method, **kwargs):
                result = method(*args, **kwargs)
                value = result if isinstance(result, torch.Tensor) else result[0]
                last[:] = [value]
                return result

            setattr(scheduler, name, wrapped)
    return last


def draw(kind, name, config, call, seeds):
    scheduler = getattr(diffusers, f"{SCHEDULERS[kind]}Scheduler")(**config)
    pipeline = getattr(diffusers, f"{kind}Pipeline")(unet=model(name), scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    last = record(scheduler)
    given = {key: INPUTS[value]() if key in ("image", "mask_image", "latents") else value for key, value in call.items()}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    generator = generators if len(seeds) > 1 else generators[0]
    images = pipeline(generator=generator, output_type="np", **given).images
    rounded = lambda values: [float(f"{v:.6g}") for v in values]
    return dict(
        **dict(pipeline=f"{kind}Pipeline", model=name, config=config, call=call, seeds=seeds),
        **dict(shape=list(images.shape), sum=float(images.sum()), pixels=rounded(images.flatten()[:24].tolist())),
        # What is drawn from the generator afterwards shows that as many numbers were used.
        **dict(after=torch.randn(4, generator=generators[0]).tolist(), last=rounded(last[0].flatten().tolist())),
    )


runs = ",\n".join(f"    {json.dumps(draw(*case))}" for case in CASES)
models = ",\n".join(f"    {json.dumps(name)}: {json.dumps(config)}" for name, config in MODELS.items())
OUT.write_text(f'{{\n  "models": {{\n{models}\n  }},\n  "runs": [\n{runs}\n  ]\n}}\n')
