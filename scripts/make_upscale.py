"""Makes test/fixtures/pipelines/upscale.json: what diffusers' StableDiffusionUpscalePipeline and StableDiffusionLatentUpscalePipeline draw with
tiny models. UNets have weights made from their keys (made_weights.py), all else is of the tests' repositories. Run from the project's root with
diffusers 0.42.1, transformers 5.24.0, torch 2.13.0 and Pillow:

    python scripts/make_upscale.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from made_pictures import picture, tensor
from made_weights import made

REPOS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/upscale.json")

# By pipeline: the repository that the rest is of, and what differs in its configs.
CLASSES = {"x4": StableDiffusionUpscalePipeline, "x2": StableDiffusionLatentUpscalePipeline}
REPO = {"x4": "sd21", "x2": "sd15"}
K = dict(
    _class_name="UNet2DConditionModel",
    in_channels=8,
    out_channels=5,
    sample_size=16,
    norm_num_groups=None,
    act_fn="gelu",
    block_out_channels=[32, 64, 64],
    down_block_types=["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
    mid_block_type=None,
    up_block_types=["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
    layers_per_block=2,
    cross_attention_dim=32,
    attention_head_dim=8,
    cross_attention_norm="layer_norm",
    conv_in_kernel=1,
    conv_out_kernel=1,
    resnet_time_scale_shift="scale_shift",
    time_embedding_type="fourier",
    timestep_post_act="gelu",
    time_cond_proj_dim=160,
)
SEES = dict(json.loads((REPOS / "sd21/unet/config.json").read_text()), in_channels=7)
UNETS = {
    "x4": dict(SEES, num_class_embeds=1000),
    "x4 timestep": dict(SEES, class_embed_type="timestep"),
    "x4 untold": SEES,
    "x2": K,
}
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
LOW_RES = dict(BETAS, _class_name="DDPMScheduler", beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
X2_SCHEDULER = dict(BETAS, _class_name="EulerDiscreteScheduler", prediction_type="sample")

IMAGES = {
    "12x8": lambda: picture(12, 8),
    "15x9": lambda: picture(15, 9),
    "two": lambda: [picture(12, 8), picture(15, 9)],
    "tensor 12x8": lambda: tensor(12, 8),
    "tensor 13x10": lambda: tensor(13, 10),
    "signed tensor": lambda: 2 * tensor(12, 8) - 1,
    "array": lambda: tensor(12, 8).permute(0, 2, 3, 1).numpy(),
    "64x32": lambda: picture(64, 32),
    "71x37": lambda: picture(71, 37),
    "two large": lambda: [picture(64, 32), picture(71, 37)],
    "tensor 64x32": lambda: tensor(64, 32),
    "latents": lambda: torch.linspace(-2, 2, 4 * 4 * 8).reshape(1, 4, 4, 8),
    "few latents": lambda: torch.linspace(-2, 2, 4 * 4 * 4).reshape(1, 4, 4, 4),
}
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
DDIM, EULER = "DDIMScheduler", "EulerDiscreteScheduler"
CASES = [
    ("x4", "x4", DDIM, "12x8", {}),
    ("x4", "x4", DDIM, "12x8", dict(noise_level=0, guidance_scale=1.0)),
    ("x4", "x4", DDIM, "12x8", dict(noise_level=350, negative_prompt="blurry", eta=0.5)),
    ("x4", "x4", DDIM, "15x9", {}),
    ("x4", "x4", DDIM, "tensor 13x10", {}),
    ("x4", "x4", DDIM, "signed tensor", {}),
    ("x4", "x4", DDIM, "array", {}),
    ("x4", "x4", DDIM, "two", dict(prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], noise_level=100)),
    ("x4", "x4", DDIM, "two", dict(prompt=[CAT, DOG], num_images_per_prompt=2)),
    ("x4", "x4", DDIM, "two", dict(prompt=[CAT, DOG], seeds=[8, 9])),
    ("x4", "x4", "EulerAncestralDiscreteScheduler", "12x8", dict(num_images_per_prompt=2, seeds=[8, 9])),
    ("x4", "x4", EULER, "12x8", dict(given=True)),
    ("x4", "x4", DDIM, "12x8", dict(output_type="np")),
    ("x4", "x4 timestep", DDIM, "12x8", dict(noise_level=33)),
    ("x4", "x4 untold", DDIM, "12x8", dict(noise_level=33)),
    *(("x4", "x4", f"{each}Scheduler", "12x8", {}) for each in ("EulerDiscrete", "PNDM", "LMSDiscrete", "HeunDiscrete", "DPMSolverMultistep", "UniPCMultistep", "DDPM")),
    ("x2", "x2", EULER, "64x32", {}),
    ("x2", "x2", EULER, "64x32", dict(guidance_scale=1.0)),
    ("x2", "x2", EULER, "64x32", dict(guidance_scale=0, num_inference_steps=2)),
    ("x2", "x2", EULER, "71x37", dict(negative_prompt="blurry")),
    ("x2", "x2", EULER, "tensor 64x32", {}),
    ("x2", "x2", EULER, "latents", {}),
    ("x2", "x2", EULER, "few latents", dict(output_type="np")),
    ("x2", "x2", EULER, "two large", dict(prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], seeds=[8, 9])),
    ("x2", "x2", EULER, "latents", dict(given=True)),
    *(("x2", "x2", f"{each}Scheduler", "latents", {}) for each in ("LMSDiscrete", "DPMSolverMultistep", "UniPCMultistep", "DEISMultistep")),
]


def unet(name):
    model = UNet2DConditionModel.from_config(UNETS[name])
    model.load_state_dict({key: made(key, list(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


def load(kind, name):
    folder = REPOS / REPO[kind]
    parts = dict(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet(name),
    )
    if kind == "x4":
        scheduler = getattr(diffusers, DDIM).from_pretrained(folder / "scheduler")
        parts |= dict(scheduler=scheduler, low_res_scheduler=DDPMScheduler.from_config(LOW_RES))
    else:
        parts["scheduler"] = EulerDiscreteScheduler.from_config(X2_SCHEDULER)
    pipeline = CLASSES[kind](**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ramps(kind, pipeline):
    """Embeddings and noise of any origin, as test/pipelines/upscale.test.ts makes them."""
    ramp = lambda *shape: torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
    width = pipeline.unet.config.cross_attention_dim
    given = dict(prompt_embeds=ramp(1, 77, width), negative_prompt_embeds=-ramp(1, 77, width))
    if kind == "x4":
        return dict(given, latents=2 * ramp(1, 4, 8, 12))
    return dict(given, latents=2 * ramp(1, 4, 8, 16), pooled_prompt_embeds=ramp(1, width), negative_pooled_prompt_embeds=-ramp(1, width))


def draw(kind, pipeline, scheduler, image, options):
    options = dict(options)
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    if options.pop("given", False):
        call |= dict(ramps(kind, pipeline), prompt=None)
    images = pipeline(**{**call, **options}, image=IMAGES[image]()).images
    pipeline.scheduler = original
    return torch.as_tensor(images)


if __name__ == "__main__":
    pipelines = {}
    runs = []
    for kind, name, scheduler, image, options in CASES:
        pipeline = pipelines.setdefault(name, None) or load(kind, name)
        pipelines[name] = pipeline
        images = draw(kind, pipeline, scheduler, image, options)
        values = [round(v, 3 if options.get("output_type") == "np" else 6) for v in images.flatten().tolist()]
        case = dict(kind=kind, unet=name, scheduler=scheduler, image=image, options=options, shape=list(images.shape))
        print(json.dumps(case), values[:3], f"std {images.std():.3f}")
        runs.append(dict(case, images=values))
    configs = dict(unets=UNETS, low_res_scheduler=LOW_RES, x2_scheduler=X2_SCHEDULER)
    lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
    OUT.write_text(f'{{\n  {json.dumps(configs)[1:-1]},\n  "runs": [\n{lines}\n  ]\n}}\n')
