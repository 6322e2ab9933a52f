"""Makes test/fixtures/pipelines/sdxl_pictures.json: what diffusers' StableDiffusionXLImg2ImgPipeline and StableDiffusionXLInpaintPipeline draw
with the tiny model of the tests, with a refiner, and with a UNet that takes masks. The UNets of the latter two have made weights. Run from
the project's root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_sdxl_pictures.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

from made_pictures import mask_picture, picture, tensor
from made_weights import made

REPO = "test/fixtures/models/repos/sdxl"
OUT = Path("test/fixtures/pipelines/sdxl_pictures.json")
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
# Keys of the UNet's config that differ from the base model's. The refiner reads its second text encoder alone, and 5 numbers beside it.
UNETS = dict(
    refiner=dict(cross_attention_dim=32, projection_class_embeddings_input_dim=28 + 5 * 8),
    masked=dict(in_channels=9),
)
BOX = (8, 0, 40, 25)
MOMENTS = dict(latents_mean=[-1.5, 0.5, 1.0, -0.25], latents_std=[8.0, 5.0, 4.0, 6.0])


def ramp(start, stop):
    return torch.linspace(start, stop, 4 * 4 * 6).reshape(1, 4, 4, 6)


IMAGES = {
    "48x32": lambda: picture(48, 32),
    "61x45": lambda: picture(61, 45),
    "two": lambda: [picture(48, 32), picture(61, 45)],
    "tensor": lambda: tensor(50, 34),
    "latents": lambda: ramp(-2, 2),
}
MASKS = {
    "48x32": lambda: mask_picture(48, 32, BOX),
    "61x45 rgb": lambda: mask_picture(61, 45, BOX, "RGB"),
}
EULER, DDIM, HEUN = "EulerDiscreteScheduler", "DDIMScheduler", "HeunDiscreteScheduler"
# Model, scheduler, image, options.
IMG2IMG = [
    ("base", EULER, "48x32", dict(strength=0.6)),
    ("base", EULER, "61x45", dict()),
    ("base", DDIM, "tensor", dict(strength=0.6, eta=0.5, guidance_scale=1.0)),
    (
        "base",
        EULER,
        "two",
        dict(
            prompt=[CAT, DOG],
            num_images_per_prompt=2,
            strength=0.6,
            negative_original_size=(64, 32),
            negative_crops_coords_top_left=(4, 0),
            crops_coords_top_left=(16, 8),
            target_size=(1024, 768),
        ),
    ),
    ("base", EULER, "48x32", dict(num_images_per_prompt=2, seeds=[8, 9], strength=0.6, guidance_rescale=0.7)),
    ("base", EULER, "latents", dict(denoising_start=0.4)),
    ("base", HEUN, "latents", dict(denoising_start=0.5)),
    ("base", HEUN, "48x32", dict(denoising_start=0.3, denoising_end=0.8)),
    ("base", "DPMSolverMultistepScheduler", "48x32", dict(strength=0.8, denoising_end=0.7)),
    ("base", EULER, "48x32", dict(latents=True, strength=0.6)),
    ("base", EULER, "48x32", dict(denoising_start=0.0, strength=0.4)),
    ("base", "EulerAncestralDiscreteScheduler", "48x32", dict(strength=0.6, negative_prompt="blurry")),
    ("base", "PNDMScheduler", "48x32", dict(strength=0.6)),
    ("base", EULER, "48x32", dict(strength=0.6, output_type="np", vae=MOMENTS)),
    ("refiner", EULER, "48x32", dict(strength=0.6)),
    (
        "refiner",
        DDIM,
        "48x32",
        dict(
            prompt=[CAT, DOG],
            strength=0.4,
            aesthetic_score=7.5,
            negative_aesthetic_score=1.0,
            negative_crops_coords_top_left=(4, 0),
            original_size=(512, 640),
        ),
    ),
    ("refiner", EULER, "latents", dict(denoising_start=0.8, num_inference_steps=10, negative_prompt="blurry", prompt_2=DOG)),
    ("refiner", "UniPCMultistepScheduler", "48x32", dict(strength=0.6, guidance_scale=1.0)),
]
# Model, scheduler, image, mask, options.
INPAINT = [
    ("base", EULER, "48x32", "48x32", dict()),
    ("base", DDIM, "61x45", "61x45 rgb", dict(strength=0.6, guidance_scale=1.0)),
    ("base", EULER, "48x32", "48x32", dict(strength=1.0, num_images_per_prompt=2, seeds=[8, 9])),
    ("base", EULER, "48x32", "48x32", dict(denoising_start=0.3, denoising_end=0.8)),
    ("base", EULER, "latents", "48x32", dict(denoising_start=0.4)),
    ("base", EULER, "48x32", "48x32", dict(latents=True, prompt=[CAT])),
    ("refiner", HEUN, "48x32", "48x32", dict(strength=0.6, aesthetic_score=7.0)),
    ("masked", EULER, "48x32", "48x32", dict(negative_prompt="blurry")),
    ("masked", DDIM, "two", "48x32", dict(prompt=[CAT, DOG], strength=1.0, guidance_rescale=0.7)),
    ("masked", EULER, "48x32", "48x32", dict(denoising_start=0.4)),
    # A scheduler that adds no noise to pictures.
    ("masked", "IPNDMScheduler", "48x32", "48x32", dict(strength=1.0)),
    ("masked", "DPMSolverMultistepScheduler", "latents", "48x32", dict(masked_image_latents=True, strength=0.8)),
]


def load(cls, name, **options):
    pipeline = cls.from_pretrained(REPO, add_watermarker=False, **options)
    if name in UNETS:
        unet = UNet2DConditionModel.from_config(pipeline.unet.config, **UNETS[name]).eval()
        unet.load_state_dict({key: made(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
        pipeline.register_modules(unet=unet)
    if name == "refiner":
        pipeline.register_modules(text_encoder=None, tokenizer=None)
        pipeline.register_to_config(requires_aesthetics_score=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, scheduler, sources, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    pipeline.vae.register_to_config(**options.pop("vae", dict(latents_mean=None, latents_std=None)))
    for name in ("latents", "masked_image_latents"):
        if options.get(name):
            options[name] = ramp(2, -2)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, num_inference_steps=5, output_type="latent", generator=generators if seeds else generators[0])
    images = pipeline(**{**call, **sources, **options}).images
    pipeline.scheduler = original
    # What is drawn from the generator afterwards shows that as many numbers were used.
    return torch.as_tensor(images), torch.randn(4, generator=generators[0]).tolist()


def rounded(images, options):
    # Pictures are compared to 1/255.
    return [round(v, 3 if options.get("output_type") == "np" else 5) for v in images.flatten().tolist()]


runs = []
for cls, cases in ((StableDiffusionXLImg2ImgPipeline, IMG2IMG), (StableDiffusionXLInpaintPipeline, INPAINT)):
    pipelines = {name: load(cls, name) for name in ("base", *UNETS)}
    for model, scheduler, image, *mask, options in cases:
        sources = dict(image=IMAGES[image]())
        if mask:
            sources.update(mask_image=MASKS[mask[0]](), height=32, width=48)
        images, after = draw(pipelines[model], scheduler, sources, options)
        named = dict(model=model, scheduler=scheduler, image=image, mask=mask[0] if mask else None, options=options)
        runs.append(dict(**named, after=[round(v, 5) for v in after], shape=list(images.shape), images=rounded(images, options)))
        print(model, scheduler, image, mask, options, list(images.shape), float(images.abs().max()))

# The ensemble of experts: the base model draws, the refiner goes on.
base, refiner = load(StableDiffusionXLPipeline, "base"), load(StableDiffusionXLImg2ImgPipeline, "refiner")
generator = torch.Generator().manual_seed(8)
shared = dict(prompt=CAT, num_inference_steps=8, output_type="latent", generator=generator)
first = base(**shared, height=32, width=48, denoising_end=0.6).images
last = refiner(**shared, image=first, denoising_start=0.6).images
ensemble = dict(first=rounded(first, {}), last=rounded(last, {}))
print(float(first.abs().max()), float(last.abs().max()))

# In float16 the VAE is float32 while it encodes, and other numbers are drawn where their count is no multiple of 16.
half = []
for cls, more in (
    (StableDiffusionXLImg2ImgPipeline, {}),
    (StableDiffusionXLInpaintPipeline, dict(mask_image=mask_picture(40, 24, (8, 0, 32, 16)), height=24, width=40)),
):
    images, after = draw(load(cls, "base", torch_dtype=torch.float16), EULER, dict(image=picture(40, 24), **more), dict(strength=0.6))
    half.append(dict(pipeline=cls.__name__, after=[round(v, 5) for v in after], images=rounded(images, {})))

lines = ",\n".join(f"    {json.dumps(each)}" for each in runs)
OUT.write_text(f'{{\n  "unets": {json.dumps(UNETS)},\n  "runs": [\n{lines}\n  ],\n  "ensemble": {json.dumps(ensemble)},\n  "half": {json.dumps(half)}\n}}\n')
