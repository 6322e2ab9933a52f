"""Makes test/fixtures/pipelines/inpaint.json: what diffusers' StableDiffusionInpaintPipeline draws with the tiny models of the tests (one UNet
that knows nothing of masks, one that takes them), and how its image processor crops, fills and overlays. Run from the project's root with
diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_inpaint.py
"""
import hashlib
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from made_pictures import mask_picture, picture, tensor

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/inpaint.json")
# Where the mask is white: x1, y1, x2, y2.
BOX = (8, 0, 40, 25)

IMAGES = {
    "48x32": lambda: picture(48, 32),
    "61x45": lambda: picture(61, 45),
    "two": lambda: [picture(48, 32), picture(61, 45)],
    "tensor": lambda: tensor(50, 34),
    "latents": lambda: torch.linspace(-2, 2, 4 * 4 * 6).reshape(1, 4, 4, 6),
}
MASKS = {
    "48x32": lambda: mask_picture(48, 32, BOX),
    "61x45 rgb": lambda: mask_picture(61, 45, BOX, "RGB"),
    "two": lambda: [mask_picture(48, 32, BOX), mask_picture(48, 32, (0, 16, 20, 32))],
    "tensor": lambda: torch.from_numpy(np.asarray(mask_picture(50, 34, BOX)).astype(np.float32) / 255),
    "grey": lambda: torch.linspace(0, 1, 48 * 32).reshape(1, 1, 32, 48),
}
PLAIN, MASKED = "sd15", "inpaint"
CASES = [
    (PLAIN, "DDIMScheduler", "48x32", "48x32", dict()),
    (PLAIN, "DDIMScheduler", "61x45", "61x45 rgb", dict(strength=0.6)),
    (PLAIN, "DDIMScheduler", "tensor", "tensor", dict(strength=0.6, guidance_scale=1.0)),
    (PLAIN, "DDIMScheduler", "48x32", "grey", dict(strength=0.6, eta=0.5)),
    (PLAIN, "DDIMScheduler", "two", "two", dict(prompt=["a photo of a cat", "a dog"], strength=0.8)),
    (PLAIN, "DDIMScheduler", "48x32", "48x32", dict(num_images_per_prompt=2, seeds=[8, 9], strength=0.8)),
    (PLAIN, "DDIMScheduler", "48x32", "48x32", dict(latents=True)),
    (PLAIN, "DDIMScheduler", "latents", "48x32", dict(masked_image_latents=True, strength=0.8)),
    (PLAIN, "PNDMScheduler", "48x32", "48x32", dict(strength=0.6)),
    (PLAIN, "EulerDiscreteScheduler", "48x32", "48x32", dict(strength=0.6)),
    (PLAIN, "EulerAncestralDiscreteScheduler", "48x32", "48x32", dict()),
    (PLAIN, "HeunDiscreteScheduler", "48x32", "48x32", dict(strength=0.6)),
    (PLAIN, "LMSDiscreteScheduler", "48x32", "48x32", dict()),
    (PLAIN, "DPMSolverMultistepScheduler", "48x32", "48x32", dict(strength=0.8)),
    (PLAIN, "UniPCMultistepScheduler", "48x32", "48x32", dict(strength=0.8)),
    (PLAIN, "LCMScheduler", "48x32", "48x32", dict()),
    (MASKED, "DDIMScheduler", "48x32", "48x32", dict()),
    (MASKED, "DDIMScheduler", "61x45", "61x45 rgb", dict(strength=0.6)),
    (MASKED, "DDIMScheduler", "tensor", "tensor", dict(guidance_scale=1.0)),
    (MASKED, "DDIMScheduler", "48x32", "two", dict(prompt=["a photo of a cat", "a dog"], num_images_per_prompt=2)),
    (MASKED, "DDIMScheduler", "two", "48x32", dict(prompt=["a photo of a cat", "a dog"], seeds=[8, 9], strength=0.8)),
    (MASKED, "DDIMScheduler", "48x32", "48x32", dict(latents=True)),
    (MASKED, "DDIMScheduler", "latents", "48x32", dict(masked_image_latents=True, strength=0.8)),
    (MASKED, "PNDMScheduler", "48x32", "48x32", dict()),
    (MASKED, "EulerAncestralDiscreteScheduler", "48x32", "48x32", dict(strength=0.6)),
    (MASKED, "DPMSolverMultistepScheduler", "48x32", "48x32", dict()),
]
# Size of picture and mask, where the mask is white, size drawn, padding.
CROPS = [
    ((96, 64), (40, 20, 60, 30), (48, 32), 4),
    ((96, 64), (0, 0, 5, 60), (32, 32), 0),
    ((96, 64), (90, 10, 96, 12), (32, 48), 8),
    ((50, 90), (10, 70, 45, 90), (48, 32), 3),
    ((33, 90), (2, 3, 31, 30), (64, 32), 5),
    ((90, 33), (2, 3, 31, 30), (32, 64), 5),
]


def draw(pipeline, scheduler, image, mask, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    prompt = options.pop("prompt", "a photo of a cat")
    seeds = options.pop("seeds", None)
    for name in ("latents", "masked_image_latents"):
        if options.get(name):
            options[name] = torch.linspace(2, -2, 4 * 4 * 6).reshape(1, 4, 4, 6)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(num_inference_steps=5, output_type="latent", height=32, width=48)
    call["generator"] = generators if seeds else generators[0]
    latents = pipeline(prompt, IMAGES[image](), MASKS[mask](), **{**call, **options}).images
    pipeline.scheduler = original
    # What is drawn from the generator afterwards shows that as many numbers were used.
    after = torch.randn(4, generator=generators[0]).tolist()
    return latents, after


def digest(image):
    array = np.asarray(image)
    return dict(shape=list(array.shape), sum=int(array.astype(int).sum()), sha256=hashlib.sha256(array.tobytes()).hexdigest())


runs = []
for model in (PLAIN, MASKED):
    parts = {"unet": UNet2DConditionModel.from_pretrained(MODELS / model, subfolder="unet")}
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(MODELS / PLAIN, safety_checker=None, **parts)
    pipeline.set_progress_bar_config(disable=True)
    for of, scheduler, image, mask, options in CASES:
        if of != model:
            continue
        latents, after = draw(pipeline, scheduler, image, mask, options)
        values = [round(v, 6) for v in latents.flatten().tolist()]
        case = dict(model=model, scheduler=scheduler, image=image, mask=mask, options=options)
        runs.append(dict(**case, shape=list(latents.shape), after=after, latents=values))

processor = VaeImageProcessor(vae_scale_factor=8)
crops = []
for size, box, drawn, padding in CROPS:
    mask = mask_picture(*size, box)
    region = processor.get_crop_region(mask, *drawn, pad=padding)
    image = picture(*size)
    filled = processor._resize_and_fill(image.crop(region), *drawn)
    # A mask of many greys shows how the overlay rounds.
    soft = Image.fromarray((np.arange(size[0] * size[1]) * 7 % 256).astype(np.uint8).reshape(size[1], size[0]))
    overlaid = processor.apply_overlay(soft, image, picture(*drawn), region)
    crops.append(dict(size=size, box=box, drawn=drawn, padding=padding, region=region, filled=digest(filled), overlaid=digest(overlaid)))
lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
cropped = ",\n".join(f"    {json.dumps(each)}" for each in crops)
OUT.write_text(f'{{\n  "runs": [\n{lines}\n  ],\n  "crops": [\n{cropped}\n  ]\n}}\n')
