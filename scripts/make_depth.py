"""Makes test/fixtures/models/gold/depth/dpt.safetensors.gz (what transformers' DPTForDepthEstimation predicts, of tiny models whose weights are
made) and test/fixtures/pipelines/depth.json (their configs, what DPTImageProcessor makes of pictures, and what diffusers'
StableDiffusionDepth2ImgPipeline draws with one of them). Run from the project's root with diffusers 0.42.1, transformers 5.24.0 (without
torchvision, so that pictures go by Pillow), torch 2.13.0 and Pillow:

    python scripts/make_depth.py
"""
import gzip
import hashlib
import json
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionDepth2ImgPipeline, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save
from transformers import DPTConfig, DPTForDepthEstimation
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from made_pictures import picture
from made_weights import made, uniform

SD15 = Path("test/fixtures/models/repos/sd15")
GOLD = Path("test/fixtures/models/gold/depth/dpt.safetensors.gz")
OUT = Path("test/fixtures/pipelines/depth.json")

VIT = dict(
    **dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=40, image_size=32, patch_size=8),
    **dict(backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 12, 16, 20], fusion_hidden_size=16),
)
# As in stabilityai/stable-diffusion-2-depth: a width for a stage that there is not, and padding in small letters.
BIT = dict(
    **dict(model_type="bit", layer_type="bottleneck", global_padding="same", embedding_dynamic_padding=True, num_groups=4),
    **dict(depths=[1, 2, 1], embedding_size=8, hidden_sizes=[16, 32, 48, 96], out_features=["stage1", "stage2", "stage3"]),
)
HYBRID = dict(
    **{**VIT, "image_size": 64, "patch_size": 16, "neck_hidden_sizes": [16, 32, 24, 20]},
    **dict(is_hybrid=True, reassemble_factors=[1, 1, 1, 0.5], backbone_featmap_shape=[1, 48, 4, 4], backbone_config=BIT),
)
PREACTIVATION = {**BIT, "layer_type": "preactivation", "global_padding": None, "embedding_dynamic_padding": False, "hidden_sizes": [16, 32, 48]}
# Config, side of the pictures, pictures, modules whose results are kept.
MODELS = {
    "project": (VIT, 32, 2, ["dpt.embeddings", "dpt.encoder.layer.1", "neck.reassemble_stage.layers.0", "neck.fusion_stage.layers.0"]),
    # 5 x 5 patches: positions are resized, and features do not have twice the size of the next.
    "add": ({**VIT, "readout_type": "add", "qkv_bias": False, "use_bias_in_fusion_residual": False, "head_in_index": 2}, 40, 1, []),
    "ignore": (
        {**VIT, "readout_type": "ignore", "hidden_act": "relu", "neck_hidden_sizes": [8, 12], "backbone_out_indices": [0, 2], "reassemble_factors": [2, 1]},
        32,
        1,
        [],
    ),
    "hybrid": (
        {**HYBRID, "image_size": 80, "backbone_featmap_shape": [1, 48, 5, 5]},
        80,
        1,
        [
            *("dpt.embeddings.backbone.bit.embedder", "dpt.embeddings.backbone.bit.encoder.stages.0", "dpt.embeddings.backbone.bit.encoder.stages.2"),
            *("dpt.embeddings", "neck.reassemble_stage.layers.3", "neck.fusion_stage.layers.1"),
        ],
    ),
    "preactivation": ({**HYBRID, "backbone_config": PREACTIVATION}, 64, 1, ["dpt.embeddings.backbone.bit.embedder", "dpt.embeddings.backbone.bit.encoder.stages.1"]),
    "embedder": ({**HYBRID, "backbone_config": {**BIT, "global_padding": None, "embedding_dynamic_padding": False, "hidden_act": "silu"}}, 64, 1, ["dpt.embeddings.backbone.bit.embedder"]),
}
PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 1,
    "feature_extractor_type": "DPTFeatureExtractor",
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "keep_aspect_ratio": False,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 64, "width": 64},
}
FORMS = [
    {},
    dict(size=40, resample=2),
    dict(size={"height": 30, "width": 44}, keep_aspect_ratio=True, ensure_multiple_of=8, resample=1),
    dict(size={"height": 20, "width": 20}, ensure_multiple_of=16, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
    dict(do_resize=False, do_normalize=False),
]
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
DDIM = "DDIMScheduler"


def ramp(start, stop, *shape):
    return torch.linspace(start, stop, int(np.prod(shape))).reshape(shape)


def depths(count, height, width):
    return torch.from_numpy((uniform("depth", count * height * width) * 20 + 30).astype(np.float32).reshape(count, height, width))


IMAGES = {
    "48x32": lambda: picture(48, 32),
    "53x37": lambda: picture(53, 37),
    "two": lambda: [picture(48, 32), picture(53, 37)],
}
# Scheduler, image, options; a depth map by its shape.
RUNS = [
    (DDIM, "48x32", dict()),
    (DDIM, "53x37", dict(strength=0.6, guidance_scale=3.0, negative_prompt="blurry", eta=0.5)),
    (DDIM, "48x32", dict(guidance_scale=1.0, depth_map=[1, 30, 50])),
    (DDIM, "two", dict(prompt=[CAT, DOG], num_images_per_prompt=2)),
    (DDIM, "two", dict(prompt=[CAT, DOG], negative_prompt=["blurry", ""], depth_map=[2, 3, 9])),
    (DDIM, "48x32", dict(num_images_per_prompt=2, seeds=[8, 9])),
    (DDIM, "48x32", dict(output_type="np", strength=0.4)),
    ("PNDMScheduler", "53x37", dict(strength=1.0)),
]


def made_model(config):
    model = DPTForDepthEstimation(DPTConfig(**config)).eval()
    model.load_state_dict({key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model


@torch.no_grad()
def predict(model, pixels, kept):
    """By path the results of some modules, and the depth."""
    results = {}

    def keep(path):
        def hook(_, __, output):
            results[f"mid.{path}"] = (output if torch.is_tensor(output) else output.last_hidden_states).contiguous().clone()

        return hook

    for path in kept:
        model.get_submodule(path).register_forward_hook(keep(path))
    results["out"] = model(pixels).predicted_depth.contiguous()
    return results


def predictions():
    tensors = {}
    models = []
    for name, (config, side, count, kept) in MODELS.items():
        model = made_model(config)
        pixels = torch.from_numpy(uniform("pixels", count * 3 * side * side).astype(np.float32).reshape(count, 3, side, side))
        results = predict(model, pixels, kept)
        tensors.update({f"{name}.{key}": value for key, value in results.items()})
        models.append(dict(name=name, config=config, side=side, count=count, kept=kept))
        depth = results["out"]
        print(name, list(depth.shape), float(depth.std()), float((depth == 0).float().mean()))
    GOLD.parent.mkdir(parents=True, exist_ok=True)
    GOLD.write_bytes(gzip.compress(save(tensors), mtime=0))
    return models


def rows_first(image, size, resample, **_):
    """As Pillow did until version 13, which goes by columns first for some sizes."""
    return plain_resize(plain_resize(image, (size[0], image.height), resample), size, resample)


def processed():
    results = []
    for form in FORMS:
        processor = DPTImageProcessorPil(**{**PROCESSOR, **form})
        for size in [(24, 16), (29, 21), (64, 48), (16, 24)]:
            values = processor(picture(*size), return_tensors="pt").pixel_values
            digest = hashlib.sha256(values.numpy().astype(np.float32).tobytes()).hexdigest()
            results.append(dict(form=form, size=size, shape=list(values.shape), sum=float(values.double().sum()), sha256=digest))
    return results


def load(dtype=torch.float32):
    plain = StableDiffusionPipeline.from_pretrained(SD15, safety_checker=None, torch_dtype=dtype)
    unet = UNet2DConditionModel.from_config(plain.unet.config, in_channels=5).eval()
    unet.load_state_dict({key: made(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
    parts = {name: plain.components[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    depth = dict(depth_estimator=made_model(HYBRID).to(dtype), feature_extractor=DPTImageProcessorPil(**PROCESSOR))
    pipeline = StableDiffusionDepth2ImgPipeline(**parts, unet=unet.to(dtype), **depth)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, scheduler, image, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    if "depth_map" in options:
        options["depth_map"] = depths(*options["depth_map"])
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, image=IMAGES[image](), num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    images = pipeline(**{**call, **options}).images
    pipeline.scheduler = original
    # What is drawn from the generator afterwards shows that as many numbers were used.
    return torch.as_tensor(images), [round(v, 5) for v in torch.randn(4, generator=generators[0]).tolist()]


plain_resize = Image.Image.resize
Image.Image.resize = rows_first
warnings.filterwarnings("ignore")
models = predictions()
pipeline = load()
runs = []
for scheduler, image, options in RUNS:
    images, after = draw(pipeline, scheduler, image, options)
    # Pictures are compared to 1/255.
    values = [round(v, 3 if "output_type" in options else 5) for v in images.flatten().tolist()]
    runs.append(dict(scheduler=scheduler, image=image, options=options, after=after, shape=list(images.shape), images=values))
    print(scheduler, image, options, list(images.shape), float(images.abs().max()))
images, after = draw(load(torch.float16), DDIM, "48x32", {})
half = dict(after=after, images=[round(v, 4) for v in images.flatten().tolist()])
parts = dict(models=models, estimator=HYBRID, processor=PROCESSOR, processed=processed(), half=half)
lines = ",\n".join(f"    {json.dumps(each)}" for each in runs)
rest = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in parts.items())
OUT.write_text(f'{{\n{rest},\n  "runs": [\n{lines}\n  ]\n}}\n')
