"""Makes test/fixtures/pipelines/lcm.json: what diffusers' pipelines of latent consistency models draw with the tiny models of the tests. Run
from the project's root with diffusers 0.42.1, transformers 5.24.0 (without torchvision, so that pictures go by Pillow) and torch 2.13.0:

    python scripts/make_lcm_pipelines.py
"""
import json
from pathlib import Path

import torch
from diffusers import LatentConsistencyModelImg2ImgPipeline, LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessor

from made_pictures import picture, tensor

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/lcm.json")
PAIR = ["a photo of a cat", "a dog"]
SIZE = dict(height=16, width=24)


def ramp(*shape):
    size = torch.Size(shape).numel()
    return torch.linspace(-2, 2, size).reshape(shape)


IMAGES = {
    "24x16": lambda: picture(24, 16),
    "29x21": lambda: picture(29, 21),
    "two": lambda: [picture(24, 16), picture(29, 21)],
    "tensor 25x17": lambda: tensor(25, 17),
    "latents": lambda: ramp(1, 4, 2, 3),
}
TEXT = [
    dict(height=None, width=None),
    dict(num_inference_steps=1, guidance_scale=1.0),
    dict(num_inference_steps=6, guidance_scale=3, original_inference_steps=20),
    dict(num_inference_steps=None, timesteps=[999, 759, 499, 259]),
    dict(prompt=PAIR, num_images_per_prompt=2, seeds=[8, 9, 10, 11], num_inference_steps=2),
    dict(prompt=None, prompt_embeds=[2, 77, 32], latents=[2, 4, 2, 3]),
    dict(edit=True),
]
PICTURES = [
    ("24x16", dict()),
    ("29x21", dict(strength=0.5, num_inference_steps=3)),
    ("tensor 25x17", dict(strength=1.0, guidance_scale=1.5)),
    ("two", dict(prompt=PAIR, num_images_per_prompt=2, seeds=[8, 9, 10, 11])),
    ("latents", dict(strength=0.6, original_inference_steps=30)),
    # The scheduler adds noise after its last step of these, which is not drawn.
    ("24x16", dict(num_inference_steps=None, timesteps=[999, 799, 599, 399, 199], strength=0.6)),
    ("24x16", dict(latents=[1, 4, 3, 2], strength=0.4)),
]


def edit(_, step, __, tensors):
    """What a callback returns by steps."""
    if step == 0:
        return dict(latents=0.9 * tensors["latents"], w_embedding=0.5 * tensors["w_embedding"])
    if step == 1:
        return dict(prompt_embeds=tensors["prompt_embeds"].flip(2), denoised=7 * tensors["denoised"])
    return dict(latents=0 * tensors["latents"], denoised=0.5 * tensors["denoised"]) if step == 3 else {}


def draw(pipeline, options):
    options = dict(options)
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    if options.pop("edit", False):
        names = ["latents", "denoised", "prompt_embeds", "w_embedding"]
        options |= dict(callback_on_step_end=edit, callback_on_step_end_tensor_inputs=names)
    for name in ("prompt_embeds", "latents"):
        if name in options:
            options[name] = ramp(*options[name])
    call = dict(prompt="a photo of a cat", generator=generators if seeds else generators[0], output_type="latent")
    result = pipeline(**{**call, **options})
    return result.images


def numbers(values):
    return [round(v, 6) for v in values.flatten().tolist()]


def load(Class, **options):
    unet = UNet2DConditionModel.from_pretrained(MODELS / "lcm/unet")
    scheduler = LCMScheduler.from_pretrained(MODELS / "lcm/scheduler")
    pipeline = Class.from_pretrained(MODELS / "sd15", unet=unet, scheduler=scheduler, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


text, image = [load(Class, safety_checker=None) for Class in (LatentConsistencyModelPipeline, LatentConsistencyModelImg2ImgPipeline)]
runs = []
for options in TEXT:
    latents = draw(text, {**SIZE, **options})
    runs.append(dict(options={**SIZE, **options}, shape=list(latents.shape), latents=numbers(latents)))
from_pictures = []
for name, options in PICTURES:
    latents = draw(image, dict(image=IMAGES[name](), **options))
    from_pictures.append(dict(image=name, options=options, shape=list(latents.shape), latents=numbers(latents)))
checker = StableDiffusionSafetyChecker.from_pretrained(MODELS / "sd15-safe/safety_checker")
extractor = CLIPImageProcessor.from_pretrained(MODELS / "sd15-safe/feature_extractor")
safe = load(LatentConsistencyModelPipeline, safety_checker=checker, feature_extractor=extractor)
result = safe(PAIR, num_images_per_prompt=2, **SIZE, generator=torch.Generator().manual_seed(8), output_type="np")
checked = dict(flagged=result.nsfw_content_detected, means=numbers(torch.from_numpy(result.images).mean((1, 2))))


def rows(values):
    return ",\n".join(f"    {json.dumps(each)}" for each in values)


OUT.write_text(f'{{\n  "runs": [\n{rows(runs)}\n  ],\n  "pictures": [\n{rows(from_pictures)}\n  ],\n  "checked": {json.dumps(checked)}\n}}\n')
