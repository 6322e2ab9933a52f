"""Makes test/fixtures/pipelines/half.json: what diffusers' StableDiffusionPipeline draws in float16 with the tiny model of the tests under
schedulers that draw noise, at a size whose latents are no multiple of 16, where torch draws other halves than single-precision numbers.
Run from the project's root with diffusers 0.42.1, transformers and torch 2.13.0:

    python scripts/make_half.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionPipeline

REPO = "test/fixtures/models/repos/sd15"
OUT = Path("test/fixtures/pipelines/half.json")
SIZE = dict(height=40, width=24)
CASES = [
    ("EulerAncestralDiscreteScheduler", {}, {}),
    ("EulerAncestralDiscreteScheduler", {}, dict(num_images_per_prompt=2, seeds=[8, 9])),
    ("KDPM2AncestralDiscreteScheduler", {}, {}),
    ("DDIMScheduler", {}, dict(eta=1.0)),
    ("DDPMScheduler", {}, {}),
    ("LCMScheduler", {}, {}),
    ("TCDScheduler", {}, {}),
    ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++"), {}),
    ("DPMSolverSinglestepScheduler", dict(algorithm_type="sde-dpmsolver++"), {}),
    ("SASolverScheduler", {}, {}),
]


def draw(pipeline, scheduler, changes, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config, **changes)
    options = dict(options)
    generators = [torch.Generator().manual_seed(seed) for seed in options.pop("seeds", [8])]
    latents = pipeline(
        "a photo of a cat",
        generator=generators if len(generators) > 1 else generators[0],
        **dict(num_inference_steps=4, guidance_scale=3.0, output_type="latent", **SIZE),
        **options,
    ).images
    pipeline.scheduler = original
    return latents.float(), generators[0]


if __name__ == "__main__":
    pipeline = StableDiffusionPipeline.from_pretrained(REPO, torch_dtype=torch.float16, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    runs = []
    for scheduler, changes, options in CASES:
        latents, generator = draw(pipeline, scheduler, changes, options)
        runs.append(
            dict(
                scheduler=scheduler,
                changes=changes,
                options=options,
                latents=[round(x, 4) for x in latents.flatten().tolist()],
                after=torch.randn(4, generator=generator).tolist(),
            )
        )
    lines = ",\n".join(json.dumps(run) for run in runs)
    OUT.write_text(f"[\n{lines}\n]\n")
