"""Makes test/fixtures/pipelines/controlnet.json: what diffusers' StableDiffusionControlNetPipeline draws with the tiny models of the tests.
The second ControlNet is the first one, reading colours in the opposite order; the third gives the mean of all pixels. Run from the project's
root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_controlnet_pipeline.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

from made_pictures import picture, tensor

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/controlnet.json")
CAT, DOG = "a photo of a cat", "a dog"

A, B = (lambda: picture(48, 32)), (lambda: picture(61, 45))
IMAGES = {
    "48x32": A,
    "61x45": B,
    "grey": lambda: picture(48, 32, 1),
    "two": lambda: [A(), B()],
    "nested": lambda: [[A(), B()], [B(), A()]],
    "tensor": lambda: tensor(50, 34),
    "shifted": lambda: 2 * tensor(48, 32) - 1,
}
SIZE = dict(height=32, width=48)
CASES = [
    ("one", "DDIMScheduler", "48x32", dict()),
    ("one", "DDIMScheduler", "61x45", dict(controlnet_conditioning_scale=0.5)),
    ("one", "DDIMScheduler", "61x45", dict(SIZE, guidance_scale=1.0)),
    ("one", "DDIMScheduler", "grey", dict(height=45, controlnet_conditioning_scale=-0.7)),
    ("one", "DDIMScheduler", "tensor", dict(control_guidance_start=0.2, control_guidance_end=0.7)),
    ("one", "DDIMScheduler", "shifted", dict(guess_mode=True)),
    ("one", "DDIMScheduler", "48x32", dict(guess_mode=True, guidance_scale=1.0)),
    ("one", "DDIMScheduler", "48x32", dict(prompt=[CAT, DOG], num_images_per_prompt=2, seeds=[8, 9, 10, 11])),
    ("one", "DDIMScheduler", "two", dict(SIZE, prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], num_images_per_prompt=2)),
    ("one", "DDIMScheduler", "48x32", dict(num_images_per_prompt=2, guess_mode=True, control_guidance_end=0.6)),
    ("one", "DDIMScheduler", "48x32", dict(freeu=dict(s1=0.9, s2=0.2, b1=1.2, b2=1.4))),
    ("one", "PNDMScheduler", "48x32", dict(control_guidance_end=0.5)),
    ("one", "EulerAncestralDiscreteScheduler", "48x32", dict()),
    ("one", "HeunDiscreteScheduler", "48x32", dict(control_guidance_start=0.3)),
    ("two", "DDIMScheduler", "two", dict(SIZE, controlnet_conditioning_scale=[0.5, 0.8], control_guidance_end=[0.5, 1.0])),
    ("two", "DDIMScheduler", "nested", dict(SIZE, prompt=[CAT, DOG], controlnet_conditioning_scale=0.6, control_guidance_start=[0.0, 0.4])),
    ("two", "DPMSolverMultistepScheduler", "two", dict(SIZE, guess_mode=True)),
    ("pooled", "DDIMScheduler", "48x32", dict()),
    ("one", "DDIMScheduler", "48x32", dict(output_type="np")),
]


def run(pipeline, scheduler, image, options):
    original = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(original.config)
    options = dict(options)
    prompt = options.pop("prompt", CAT)
    seeds = options.pop("seeds", None)
    freeu = options.pop("freeu", None)
    if freeu:
        pipeline.enable_freeu(**freeu)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    images = pipeline(prompt, IMAGES[image](), **{**call, **options}).images
    pipeline.disable_freeu()
    pipeline.scheduler = original
    return torch.as_tensor(images)


def load(**config):
    return ControlNetModel.from_pretrained(MODELS / "controlnet", **config)


one, bgr = load(), load(controlnet_conditioning_channel_order="bgr")
NETS = {"one": one, "two": [one, bgr], "pooled": load(global_pool_conditions=True)}
runs = []
for nets, controlnet in NETS.items():
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(MODELS / "sd15", controlnet=controlnet, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    for of, scheduler, image, options in CASES:
        if of != nets:
            continue
        images = run(pipeline, scheduler, image, options)
        # Pictures are compared to 1/255.
        values = [round(v, 3 if options.get("output_type") == "np" else 5) for v in images.flatten().tolist()]
        runs.append(dict(nets=nets, scheduler=scheduler, image=image, options=options, shape=list(images.shape), images=values))
lines = ",\n".join(f"    {json.dumps(each)}" for each in runs)
OUT.write_text(f'{{\n  "runs": [\n{lines}\n  ]\n}}\n')
