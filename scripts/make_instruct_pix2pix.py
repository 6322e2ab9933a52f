"""Makes test/fixtures/pipelines/instruct_pix2pix.json: what diffusers' StableDiffusionInstructPix2PixPipeline and its sibling of XL draw with
the tiny models of the tests and UNets of 8 channels, whose weights are made. Run from the project's root with diffusers 0.42.1,
transformers, torch 2.13.0 and Pillow:

    python scripts/make_instruct_pix2pix.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionXLInstructPix2PixPipeline, UNet2DConditionModel

from made_pictures import picture, tensor
from made_weights import made

REPOS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/instruct_pix2pix.json")
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
DDIM, EULER = "DDIMScheduler", "EulerDiscreteScheduler"
MOMENTS = dict(latents_mean=[-1.5, 0.5, 1.0, -0.25], latents_std=[8.0, 5.0, 4.0, 6.0])


def ramp(start, stop):
    return torch.linspace(start, stop, 4 * 4 * 6).reshape(1, 4, 4, 6)


IMAGES = {
    "48x32": lambda: picture(48, 32),
    "53x37": lambda: picture(53, 37),
    "two": lambda: [picture(48, 32), picture(53, 37)],
    "tensor": lambda: tensor(50, 34),
    "latents": lambda: ramp(-2, 2),
}
# Scheduler, image, options.
SD = [
    (DDIM, "48x32", dict()),
    (DDIM, "53x37", dict(guidance_scale=3.0, image_guidance_scale=2.5, negative_prompt="blurry", eta=0.5)),
    (DDIM, "tensor", dict(guidance_scale=1.0)),
    (DDIM, "48x32", dict(image_guidance_scale=0.9)),
    (DDIM, "48x32", dict(image_guidance_scale=1.0)),
    (DDIM, "latents", dict(prompt=[CAT, DOG], negative_prompt=["blurry", ""])),
    (DDIM, "two", dict(prompt=[CAT, DOG], num_images_per_prompt=2)),
    (DDIM, "48x32", dict(num_images_per_prompt=2, seeds=[8, 9])),
    (DDIM, "48x32", dict(latents=True)),
    (DDIM, "48x32", dict(output_type="np")),
    ("EulerAncestralDiscreteScheduler", "48x32", dict()),
    ("PNDMScheduler", "48x32", dict()),
    ("DPMSolverMultistepScheduler", "48x32", dict()),
    ("LMSDiscreteScheduler", "48x32", dict()),
    ("HeunDiscreteScheduler", "48x32", dict(latents=True)),
    (EULER, "latents", dict(guidance_scale=1.0, latents=True)),
]
XL = [
    (EULER, "48x32", dict()),
    (EULER, "48x32", dict(cosxl=True, guidance_rescale=0.7)),
    (EULER, "53x37", dict(guidance_scale=1.0, height=35, width=45)),
    (DDIM, "two", dict(prompt=[CAT, DOG], prompt_2=[DOG, CAT], negative_prompt=["blurry", ""], num_images_per_prompt=2, eta=0.5)),
    (
        "EulerAncestralDiscreteScheduler",
        "tensor",
        dict(image_guidance_scale=2.0, original_size=(64, 32), crops_coords_top_left=(4, 0), target_size=(40, 24)),
    ),
    (EULER, "latents", dict(cosxl=True, seeds=[8, 9], num_images_per_prompt=2)),
    ("DPMSolverMultistepScheduler", "48x32", dict(denoising_end=0.6, negative_prompt="blurry", negative_prompt_2=DOG)),
    ("HeunDiscreteScheduler", "48x32", dict(latents=True, image_guidance_scale=0.5)),
    (EULER, "48x32", dict(output_type="np", vae=MOMENTS)),
]


def load(cls, repo, **options):
    pipeline = cls.from_pretrained(REPOS / repo, **options)
    unet = UNet2DConditionModel.from_config(pipeline.unet.config, in_channels=8).eval()
    unet.load_state_dict({key: made(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
    pipeline.register_modules(unet=unet.to(pipeline.unet.dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, scheduler, image, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    pipeline.is_cosxl_edit = options.pop("cosxl", False)
    pipeline.vae.register_to_config(**options.pop("vae", dict(latents_mean=None, latents_std=None)))
    if options.get("latents"):
        options["latents"] = ramp(2, -2)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, image=IMAGES[image](), num_inference_steps=5, output_type="latent", generator=generators if seeds else generators[0])
    images = pipeline(**{**call, **options}).images
    pipeline.scheduler = original
    # What is drawn from the generator afterwards shows that as many numbers were used.
    return torch.as_tensor(images), [round(v, 5) for v in torch.randn(4, generator=generators[0]).tolist()]


def rounded(images, options):
    # Pictures are compared to 1/255.
    return [round(v, 3 if options.get("output_type") == "np" else 5) for v in images.flatten().tolist()]


runs = []
half = []
for cls, repo, more, cases in (
    (StableDiffusionInstructPix2PixPipeline, "sd15", dict(safety_checker=None), SD),
    (StableDiffusionXLInstructPix2PixPipeline, "sdxl", dict(add_watermarker=False), XL),
):
    pipeline = load(cls, repo, **more)
    size = dict(height=32, width=48) if repo == "sdxl" else {}
    for scheduler, image, options in cases:
        images, after = draw(pipeline, scheduler, image, {**size, **options})
        runs.append(
            dict(pipeline=cls.__name__, scheduler=scheduler, image=image, options=options, after=after, shape=list(images.shape), images=rounded(images, options))
        )
        print(scheduler, image, options, list(images.shape), float(images.abs().max()))
    images, after = draw(load(cls, repo, torch_dtype=torch.float16, **more), DDIM, "48x32", size)
    half.append(dict(pipeline=cls.__name__, after=after, images=rounded(images, {})))

lines = ",\n".join(f"    {json.dumps(each)}" for each in runs)
OUT.write_text(f'{{\n  "runs": [\n{lines}\n  ],\n  "half": {json.dumps(half)}\n}}\n')
