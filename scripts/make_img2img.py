"""Makes test/fixtures/pipelines/img2img.json: what diffusers' StableDiffusionImg2ImgPipeline draws with the tiny model of the tests, and
how Pillow resizes. Run from the project's root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_img2img.py
"""
import hashlib
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from made_pictures import picture, tensor

REPO = "test/fixtures/models/repos/sd15"
OUT = Path("test/fixtures/pipelines/img2img.json")

IMAGES = {
    "24x16": lambda: picture(24, 16),
    "29x21": lambda: picture(29, 21),
    "two": lambda: [picture(24, 16), picture(29, 21)],
    "tensor 25x17": lambda: tensor(25, 17),
    "signed tensor": lambda: 2 * tensor(24, 16) - 1,
    "array": lambda: tensor(24, 16).permute(0, 2, 3, 1).numpy(),
    "latents": lambda: torch.linspace(-2, 2, 4 * 2 * 3).reshape(1, 4, 2, 3),
}
CASES = [
    ("DDIMScheduler", "24x16", dict(strength=0.6)),
    ("DDIMScheduler", "24x16", dict(strength=0.6, eta=0.5, guidance_scale=1.0)),
    ("DDIMScheduler", "29x21", dict()),
    ("DDIMScheduler", "tensor 25x17", dict(strength=0.4)),
    ("DDIMScheduler", "signed tensor", dict(strength=0.4)),
    ("DDIMScheduler", "array", dict(strength=0.4)),
    ("DDIMScheduler", "latents", dict(strength=0.7)),
    ("DDIMScheduler", "two", dict(strength=0.6, prompt=["a photo of a cat", "a dog"])),
    ("DDIMScheduler", "two", dict(strength=0.6, prompt=["a photo of a cat", "a dog"], num_images_per_prompt=2)),
    ("DDIMScheduler", "24x16", dict(strength=0.6, num_images_per_prompt=2, seeds=[8, 9])),
    ("PNDMScheduler", "24x16", dict(strength=0.5)),
    ("EulerDiscreteScheduler", "24x16", dict()),
    ("EulerAncestralDiscreteScheduler", "24x16", dict(strength=0.6)),
    ("HeunDiscreteScheduler", "24x16", dict(strength=0.5)),
    ("KDPM2AncestralDiscreteScheduler", "24x16", dict(strength=0.6)),
    ("LMSDiscreteScheduler", "24x16", dict(strength=1.0)),
    ("DPMSolverMultistepScheduler", "24x16", dict(strength=0.7)),
    ("DPMSolverSinglestepScheduler", "24x16", dict(strength=0.7)),
    ("UniPCMultistepScheduler", "24x16", dict(strength=0.7)),
    ("DEISMultistepScheduler", "24x16", dict(strength=0.7)),
    ("LCMScheduler", "24x16", dict(strength=0.6)),
    ("DDPMScheduler", "24x16", dict(strength=0.3, num_inference_steps=None, timesteps=[801, 601, 401, 201, 1])),
    ("EulerDiscreteScheduler", "24x16", dict(strength=0.6, num_inference_steps=None, timesteps=[801, 601, 401, 201, 1])),
]
SIZES = [((29, 21), (24, 16)), ((16, 24), (24, 16)), ((24, 16), (40, 48)), ((100, 7), (8, 64)), ((5, 5), (1, 1)), ((64, 64), (63, 64))]


def draw(pipeline, scheduler, image, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    prompt = options.pop("prompt", "a photo of a cat")
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(num_inference_steps=5, output_type="latent", generator=generators if seeds else generators[0])
    latents = pipeline(prompt, IMAGES[image](), **{**call, **options}).images
    pipeline.scheduler = original
    return latents


def resize(image, to):
    """Rows first, as Pillow did until version 13, which goes by columns first for some sizes."""
    rows = image.resize((to[0], image.height), Image.Resampling.LANCZOS)
    return np.asarray(rows.resize(to, Image.Resampling.LANCZOS))


assert (resize(picture(29, 21), (24, 16)) == np.asarray(picture(29, 21).resize((24, 16), Image.Resampling.LANCZOS))).all()
pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(REPO, safety_checker=None)
pipeline.set_progress_bar_config(disable=True)
runs = []
for scheduler, image, options in CASES:
    latents = draw(pipeline, scheduler, image, options)
    values = [round(v, 6) for v in latents.flatten().tolist()]
    runs.append(dict(scheduler=scheduler, image=image, options=options, shape=list(latents.shape), latents=values))
resized = []
for size, to in SIZES:
    for channels in (1, 3):
        array = resize(picture(*size, channels), to)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        resized.append(dict(size=size, to=to, channels=channels, sum=int(array.sum()), sha256=digest))
OUT.parent.mkdir(parents=True, exist_ok=True)
lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
sizes = ",\n".join(f"    {json.dumps(each)}" for each in resized)
OUT.write_text(f'{{\n  "runs": [\n{lines}\n  ],\n  "resized": [\n{sizes}\n  ]\n}}\n')
