"""Makes test/fixtures/pipelines/t2i_adapter.json: what diffusers' pipelines with T2I-Adapters draw with the tiny models of the tests, and what
adapters compute alone. Adapters have made weights. Run from the project's root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_t2i_adapter.py
"""
import json
from pathlib import Path

import diffusers
import torch
from diffusers import MultiAdapter, T2IAdapter

from made_pictures import picture, tensor
from made_weights import made

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/t2i_adapter.json")
CAT, DOG = "a photo of a cat", "a dog"
EULER, DDIM, HEUN, PNDM = (f"{name}Scheduler" for name in ("EulerDiscrete", "DDIM", "HeunDiscrete", "PNDM"))
SMALL = dict(height=32, width=48)
SIZES = dict(negative_original_size=(64, 32), negative_target_size=(32, 64), crops_coords_top_left=(4, 0))

FULL = dict(channels=[16, 24, 24], num_res_blocks=2, downscale_factor=8, adapter_type="full_adapter")
XL = dict(channels=[16, 16, 24, 24], num_res_blocks=1, downscale_factor=16, adapter_type="full_adapter_xl")
ADAPTERS = {
    "full": FULL,
    "grey": dict(FULL, in_channels=1, num_res_blocks=1),
    "light": dict(channels=[16, 24], num_res_blocks=2, downscale_factor=8, adapter_type="light_adapter"),
    "xl": XL,
    "xl grey": dict(XL, in_channels=1, num_res_blocks=2),
}
A, B, G = (lambda: picture(48, 32)), (lambda: picture(61, 45)), (lambda: picture(61, 45, 1))
IMAGES = {
    "48x32": A,
    "61x45": B,
    "grey": G,
    "two": lambda: [A(), B()],
    "one and grey": lambda: [A(), G()],
    "nested": lambda: [[A(), B()], [G(), G()]],
    "tensor": lambda: tensor(56, 40),
    "tensors": lambda: [tensor(48, 32)[0], tensor(48, 32)[0] * 0.5],
}
# Pipeline, adapters, scheduler, the picture, options.
RUNS = [
    ("Adapter", ["full"], DDIM, "48x32", dict()),
    ("Adapter", ["full"], DDIM, "61x45", dict(adapter_conditioning_scale=0.5)),
    ("Adapter", ["full"], EULER, "61x45", dict(SMALL, guidance_scale=1.0)),
    ("Adapter", ["full"], DDIM, "two", dict(SMALL, prompt=[CAT, DOG], num_images_per_prompt=2, seeds=[8, 9, 10, 11])),
    ("Adapter", ["full"], PNDM, "tensor", dict(negative_prompt="ugly")),
    ("Adapter", ["full"], HEUN, "48x32", dict(num_images_per_prompt=2)),
    ("Adapter", ["full"], DDIM, "tensors", dict(prompt=[CAT, DOG])),
    ("Adapter", ["full"], DDIM, "48x32", dict(output_type="np")),
    ("Adapter", ["grey"], DDIM, "grey", dict(adapter_conditioning_scale=1.3)),
    ("Adapter", ["light"], "EulerAncestralDiscreteScheduler", "61x45", dict(guidance_scale=3.0)),
    ("Adapter", ["full", "light"], DDIM, "two", dict(SMALL, adapter_conditioning_scale=[0.6, 0.4])),
    ("Adapter", ["full", "grey"], DDIM, "nested", dict(prompt=[CAT, DOG], adapter_conditioning_scale=[1.0, -0.5])),
    ("XLAdapter", ["xl"], EULER, "61x45", dict()),
    ("XLAdapter", ["xl"], EULER, "48x32", dict(adapter_conditioning_factor=0.5, adapter_conditioning_scale=0.8)),
    ("XLAdapter", ["xl"], HEUN, "48x32", dict(adapter_conditioning_factor=0.8)),
    ("XLAdapter", ["xl"], PNDM, "48x32", dict(prompt_2=DOG)),
    ("XLAdapter", ["xl"], EULER, "48x32", dict(num_inference_steps=6, denoising_end=0.6, adapter_conditioning_factor=0.5)),
    ("XLAdapter", ["xl"], EULER, "48x32", dict(timesteps=[900, 600, 300, 100, 1], adapter_conditioning_factor=0.5)),
    ("XLAdapter", ["xl"], EULER, "two", dict(SMALL, **SIZES, prompt=[CAT, DOG], num_images_per_prompt=2)),
    ("XLAdapter", ["xl"], DDIM, "48x32", dict(height=48, width=80, guidance_scale=1.0)),
    ("XLAdapter", ["xl grey"], DDIM, "grey", dict(guidance_rescale=0.7, output_type="np")),
    ("XLAdapter", ["xl", "xl grey"], EULER, "one and grey", dict(adapter_conditioning_scale=[0.5, 0.8], adapter_conditioning_factor=0.75)),
]


def load(name):
    model = T2IAdapter(**ADAPTERS[name])
    model.load_state_dict({key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


def pipeline_of(name, adapters):
    models = [load(each) for each in adapters]
    adapter = MultiAdapter(models) if len(models) > 1 else models[0]
    cls = getattr(diffusers, f"StableDiffusion{name}Pipeline")
    if name.startswith("XL"):
        pipeline = cls.from_pretrained(MODELS / "sdxl", adapter=adapter)
    else:
        pipeline = cls.from_pretrained(MODELS / "sd15", adapter=adapter, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, scheduler, image, options):
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    return torch.as_tensor(pipeline(image=IMAGES[image](), **{**call, **options}).images)


def features(name):
    """Of sides that are odd numbers of the first feature's pixels, so that halves are rounded up."""
    model = load(name)
    channels, side = model.config.in_channels, model.config.downscale_factor
    shape = [2, channels, 5 * side, 3 * side]
    x = torch.linspace(0, 1, 2 * channels * 15 * side * side).reshape(shape)
    with torch.no_grad():
        results = model(x)
    return dict(
        name=name,
        total=model.total_downscale_factor,
        shapes=[list(each.shape) for each in results],
        features=[[round(v, 5) for v in each.flatten().tolist()] for each in results],
    )


runs = []
pipelines = {}
for name, adapters, scheduler, image, options in RUNS:
    key = str((name, adapters))
    if key not in pipelines:
        pipelines[key] = pipeline_of(name, adapters)
    images = draw(pipelines[key], scheduler, image, options)
    # Pictures are compared to 1/255.
    values = [round(v, 3 if options.get("output_type") == "np" else 5) for v in images.flatten().tolist()]
    of = dict(pipeline=name, adapters=adapters, scheduler=scheduler, image=image, options=options)
    runs.append(dict(**of, shape=list(images.shape), images=values))
    print(name, adapters, scheduler, image, options, list(images.shape), float(images.abs().max()))

lines = [",\n".join(f"    {json.dumps(each)}" for each in entries) for entries in (runs, [features(name) for name in ADAPTERS])]
OUT.write_text(f'{{\n  "adapters": {json.dumps(ADAPTERS)},\n  "runs": [\n{lines[0]}\n  ],\n  "models": [\n{lines[1]}\n  ]\n}}\n')
