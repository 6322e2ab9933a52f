"""Makes test/fixtures/pipelines/sdxl.json: what diffusers' StableDiffusionXLPipeline draws with the tiny model of the tests. Run from the
project's root with diffusers 0.42.1, transformers and torch 2.13.0:

    python scripts/make_sdxl.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionXLPipeline

REPO = "test/fixtures/models/repos/sdxl"
OUT = Path("test/fixtures/pipelines/sdxl.json")
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
LONG = "a very long prompt " * 30
CASES = [
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT)),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, negative_prompt="blurry")),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, negative_prompt="")),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, prompt_2=DOG, negative_prompt="blurry", negative_prompt_2="ugly")),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, negative_prompt_2="ugly")),
    ("EulerDiscreteScheduler", {}, dict(prompt=[CAT, DOG], num_images_per_prompt=2, negative_prompt="blurry")),
    ("EulerDiscreteScheduler", {}, dict(prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], seeds=[8, 9])),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, guidance_scale=1.0)),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, guidance_rescale=0.7)),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, clip_skip=1, negative_prompt="blurry")),
    ("EulerDiscreteScheduler", {}, dict(prompt=LONG)),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, original_size=(512, 640), crops_coords_top_left=(16, 8), target_size=(1024, 768))),
    (
        "EulerDiscreteScheduler",
        {},
        dict(prompt=CAT, negative_original_size=(64, 32), negative_crops_coords_top_left=(4, 0), negative_target_size=(32, 64)),
    ),
    (
        "EulerDiscreteScheduler",
        {},
        dict(prompt=[CAT, DOG], negative_original_size=(64, 32), negative_target_size=(32, 64)),
    ),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, denoising_end=0.6)),
    ("DDIMScheduler", {}, dict(prompt=CAT, eta=0.5, denoising_end=0.35)),
    ("EulerAncestralDiscreteScheduler", dict(timestep_spacing="trailing"), dict(prompt=CAT, guidance_scale=0.0, num_inference_steps=1)),
    ("DPMSolverMultistepScheduler", dict(use_karras_sigmas=True), dict(prompt=CAT)),
    ("HeunDiscreteScheduler", {}, dict(prompt=CAT)),
    ("PNDMScheduler", {}, dict(prompt=CAT)),
    ("UniPCMultistepScheduler", {}, dict(prompt=CAT)),
    ("LCMScheduler", {}, dict(prompt=CAT, guidance_scale=1.0)),
    ("EulerDiscreteScheduler", {}, dict(prompt=CAT, output_type="np")),
]


def run(pipeline, scheduler, config, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config, **config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(num_inference_steps=5, output_type="latent", height=32, width=48)
    call["generator"] = generators if seeds else generators[0]
    images = pipeline(**{**call, **options}).images
    pipeline.scheduler = original
    return torch.as_tensor(images)


def case(pipeline, scheduler, config, options, **more):
    images = run(pipeline, scheduler, config, options)
    # Pictures are compared to 1/255.
    digits = 3 if options.get("output_type") == "np" else 5
    values = [round(v, digits) for v in images.flatten().tolist()]
    return dict(**more, scheduler=scheduler, config=config, options=options, shape=list(images.shape), images=values)


def load(**components):
    pipeline = StableDiffusionXLPipeline.from_pretrained(REPO, add_watermarker=False, **components)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


pipeline = load()
runs = [case(pipeline, *each) for each in CASES]
# Embeddings of any origin, as wide as the UNet takes them.
width, pooled = pipeline.unet.config.cross_attention_dim, pipeline.text_encoder_2.config.projection_dim
embeds = [torch.linspace(-1, 1, 77 * width).reshape(1, 77, width), torch.linspace(-1, 1, pooled).reshape(1, pooled)]
names = ("prompt_embeds", "pooled_prompt_embeds")
given = {**dict(zip(names, embeds)), **{f"negative_{name}": -x for name, x in zip(names, embeds)}}
images = run(pipeline, "EulerDiscreteScheduler", {}, given)
values = [round(v, 5) for v in images.flatten().tolist()]
runs.append(dict(given=True, scheduler="EulerDiscreteScheduler", config={}, options={}, shape=list(images.shape), images=values))
# Zeros are a setting; and configs may say the mean and deviation of latents.
pipeline.register_to_config(force_zeros_for_empty_prompt=False)
runs.append(case(pipeline, "EulerDiscreteScheduler", {}, dict(prompt=CAT), force_zeros_for_empty_prompt=False))
pipeline.register_to_config(force_zeros_for_empty_prompt=True)
moments = dict(latents_mean=[-1.5, 0.5, 1.0, -0.25], latents_std=[8.0, 5.0, 4.0, 6.0])
pipeline.vae.register_to_config(**moments)
runs.append(case(pipeline, "EulerDiscreteScheduler", {}, dict(prompt=CAT, output_type="np"), vae=moments))
lines = ",\n".join(f"    {json.dumps(each)}" for each in runs)
OUT.write_text(f'{{\n  "runs": [\n{lines}\n  ]\n}}\n')
