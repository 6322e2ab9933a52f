"""Makes test/fixtures/pipelines/auto_pipeline.json: which class diffusers' AutoPipelines choose for each class that this library has, and what
their configs say after from_pipe. Run from the project's root with diffusers 0.42.1, transformers and torch 2.13.0:

    python scripts/make_auto_pipeline.py
"""
import json
from pathlib import Path
from unittest.mock import patch

import diffusers
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image, ControlNetModel, ControlNetUnionModel, DiffusionPipeline

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/auto_pipeline.json")
AUTO = dict(Text2Image=AutoPipelineForText2Image, Image2Image=AutoPipelineForImage2Image, Inpainting=AutoPipelineForInpainting)
STABLE = [f"StableDiffusion{xl}{net}{task}Pipeline" for xl in ("", "XL") for net in ("", "ControlNet") for task in ("", "Img2Img", "Inpaint")]
NAMES = [*STABLE, "LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline", "DDPMPipeline", "StableDiffusionUpscalePipeline"]
NET = ControlNetModel.from_pretrained(MODELS / "controlnet")
UNIONS = [f"StableDiffusionXLControlNetUnion{task}Pipeline" for task in ("", "Img2Img", "Inpaint")]
UNION = ControlNetUnionModel(addition_time_embed_dim=8, block_out_channels=(32,) * 4, num_trans_channel=32, num_proj_channel=32)
GIVEN = {"absent": {}, "net": dict(controlnet=NET), "none": dict(controlnet=None)}


def name_of(make):
    try:
        return make().__name__
    except (ValueError, AttributeError) as error:
        assert "find a pipeline linked" in str(error), error
        return None


def loaded(task, name, given):
    """What from_pretrained hands the repository on to."""
    with (
        patch.object(DiffusionPipeline, "from_pretrained", classmethod(lambda cls, *_, **__: cls)),
        patch.object(AUTO[task], "load_config", lambda *_, **__: dict(_class_name=name)),
    ):
        return name_of(lambda: AUTO[task].from_pretrained("/", **given))


def empty(name):
    Class = getattr(diffusers, name)
    modules, _ = Class._get_signature_keys(Class)
    settings = {} if "XL" in name or "DDPM" in name or "Upscale" in name else dict(requires_safety_checker=False)
    if "XL" in name:
        settings["add_watermarker"] = False
    net = dict(controlnet=NET) if "ControlNet" in name else {}
    return Class(**{**{module: None for module in modules}, **net, **settings})


def converted(task, name, given):
    pipeline = empty(name)
    return name_of(lambda: type(AUTO[task].from_pipe(pipeline, **given)))


choices = []
for task in AUTO:
    for name in NAMES:
        for how, given in GIVEN.items():
            makes_pipe = name not in ("DDPMPipeline", "StableDiffusionUpscalePipeline")
            pipe = converted(task, name, given) if makes_pipe else None
            choices.append(dict(task=task, named=name, controlnet=how, loaded=loaded(task, name, given), converted=pipe))

# What from_pipe makes of unions has no class in diffusers, or that of other ControlNets.
unions = []
for task in AUTO:
    for name in [*STABLE, *UNIONS]:
        if name in UNIONS:
            unions.append(dict(task=task, named=name, given=False, loaded=loaded(task, name, {})))
        unions.append(dict(task=task, named=name, given=True, loaded=loaded(task, name, dict(controlnet=UNION))))

# A chain of from_pipe, with what each pipeline says of itself besides components.
CHAINS = [
    ("sd15", dict(safety_checker=None), [("Image2Image", {}), ("Text2Image", dict(requires_safety_checker=True)), ("Inpainting", {})]),
    ("sd15", dict(safety_checker=None), [("Inpainting", dict(controlnet=NET)), ("Image2Image", {}), ("Text2Image", dict(controlnet=None))]),
    ("sdxl", dict(add_watermarker=False), [("Image2Image", dict(requires_aesthetics_score=True)), ("Text2Image", {}), ("Inpainting", {})]),
]
chains = []
for repo, options, steps in CHAINS:
    pipeline = DiffusionPipeline.from_pretrained(MODELS / repo, **options)
    links = []
    for task, given in steps:
        pipeline = AUTO[task].from_pipe(pipeline, **given)
        shared = [key for key, value in pipeline.config.items() if key in pipeline.components or not isinstance(value, (str, bool))]
        config = {key: value for key, value in pipeline.config.items() if key not in shared and key not in ("_name_or_path", "_diffusers_version")}
        assert str(pipeline.config["_name_or_path"]).endswith(repo)
        plain = {key: "net" if value is NET else value for key, value in given.items()}
        links.append(dict(task=task, given=plain, className=type(pipeline).__name__, config=config))
    chains.append(dict(repo=repo, links=links))
lines = ",\n".join(f"    {json.dumps(each)}" for each in choices)
of_unions = ",\n".join(f"    {json.dumps(each)}" for each in unions)
links = ",\n".join(f"    {json.dumps(each)}" for each in chains)
OUT.write_text(f'{{\n  "choices": [\n{lines}\n  ],\n  "unions": [\n{of_unions}\n  ],\n  "chains": [\n{links}\n  ]\n}}\n')
