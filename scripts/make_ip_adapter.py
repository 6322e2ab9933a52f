"""Makes test/fixtures/pipelines/ip_adapter.json: what diffusers draws with the tiny models of the tests by pictures. Weights of adapters and of
the image encoder are made from their keys and not stored (made_weights.py). Run from the project's root with diffusers 0.42.1,
transformers 5.24.0 (without torchvision, so that pictures go by Pillow) and torch 2.13.0:

    python scripts/make_ip_adapter.py
"""
import json
import tempfile
from pathlib import Path

import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from made_pictures import mask_picture, picture
from made_weights import made

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/ip_adapter.json")
SIDE = 30
HIDDEN, WIDTH = 32, 24
VISION = dict(
    hidden_size=HIDDEN, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE, patch_size=10, projection_dim=WIDTH
)
CLASSES = {
    "StableDiffusionPipeline": (StableDiffusionPipeline, "sd15"),
    "StableDiffusionImg2ImgPipeline": (StableDiffusionImg2ImgPipeline, "sd15"),
    "StableDiffusionInpaintPipeline": (StableDiffusionInpaintPipeline, "sd15"),
    "StableDiffusionInstructPix2PixPipeline": (StableDiffusionInstructPix2PixPipeline, "sd15"),
    "StableDiffusionControlNetPipeline": (StableDiffusionControlNetPipeline, "sd15"),
    "StableDiffusionXLPipeline": (StableDiffusionXLPipeline, "sdxl"),
}


def linear(name, inputs, outputs, bias=True):
    return {f"{name}.weight": [outputs, inputs], **({f"{name}.bias": [outputs]} if bias else {})}


def norm(name, width):
    return {f"{name}.weight": [width], f"{name}.bias": [width]}


def plain(context):
    return {**linear("proj", WIDTH, 4 * context), **norm("norm", context)}


def full(context):
    return {**linear("proj.0", HIDDEN, HIDDEN), **linear("proj.2", HIDDEN, context), **norm("proj.3", context)}


def plus(context, depth=4, inner=128, hidden=48, forward=192):
    shapes = {"latents": [1, 5, hidden], **linear("proj_in", HIDDEN, hidden)}
    for i in range(depth):
        attention, ff = f"layers.{i}.0", f"layers.{i}.1"
        shapes |= {**norm(f"{attention}.norm1", hidden), **norm(f"{attention}.norm2", hidden)}
        shapes |= {**linear(f"{attention}.to_q", hidden, inner, False), **linear(f"{attention}.to_kv", hidden, 2 * inner, False)}
        shapes |= {**linear(f"{attention}.to_out", inner, hidden, False), **norm(f"{ff}.0", hidden)}
        shapes |= {**linear(f"{ff}.1", hidden, forward, False), **linear(f"{ff}.3", forward, hidden, False)}
    return {**shapes, **linear("proj_out", hidden, context), **norm("norm_out", context)}


def shapes_of(kind, unet):
    """Of the whole file: cross-attentions are numbered by twos."""
    layers = {}
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for i, name in enumerate(names):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        width, context = attention.to_k.weight.shape
        layers |= {f"ip_adapter.{2 * i + 1}.{part}.weight": [width, context] for part in ("to_k_ip", "to_v_ip")}
    return {**{f"image_proj.{key}": shape for key, shape in kind(context).items()}, **layers}


KINDS = dict(plain=plain, full=full, plus=plus)
STYLE = {"up": {"block_1": [0.0, 1.0, 0.5]}, "down": 0.7}
XL_STYLE = {"up": {"block_0": [0.0, 1.0]}, "mid": 0.3}
SD, XL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
# Class, adapters, scale, pictures of each adapter, and what the call is given besides.
RUNS = [
    (SD, ["plain"], None, [["37x30"]], {}),
    (SD, ["plain"], 0.6, [["37x30"]], dict(guidance_scale=1.0)),
    (SD, ["plain"], 0.6, [["37x30", "24x40"]], dict(prompts=2, num_images_per_prompt=2)),
    (SD, ["plain"], [STYLE], [["37x30"]], {}),
    (SD, ["full"], 0.8, [["37x30"]], {}),
    (SD, ["plus"], 0.8, [["24x40"]], {}),
    (SD, ["plus", "plain"], [0.5, STYLE], [["37x30"], ["24x40", "37x30"]], {}),
    (SD, ["plain"], 0.0, [["37x30"]], {}),
    ("StableDiffusionImg2ImgPipeline", ["plain"], 0.7, [["37x30"]], {}),
    ("StableDiffusionInpaintPipeline", ["plus"], 0.7, [["37x30"]], {}),
    ("StableDiffusionControlNetPipeline", ["plain"], 0.7, [["37x30"]], {}),
    ("StableDiffusionInstructPix2PixPipeline", ["plus", "plain"], [0.7, 0.5], [["37x30"], ["24x40"]], dict(prompts=2)),
    (XL, ["plain"], 0.7, [["37x30"]], {}),
    (XL, ["plus"], [XL_STYLE], [["37x30"]], {}),
]
IMAGES = {"37x30": lambda: picture(37, 30), "24x40": lambda: picture(24, 40)}


def load(name):
    Class, repo = CLASSES[name]
    options = dict(safety_checker=None) if repo == "sd15" else {}
    if "ControlNet" in name:
        options["controlnet"] = ControlNetModel.from_pretrained(MODELS / "controlnet")
    pipeline = Class.from_pretrained(MODELS / repo, **options)
    if "Pix2Pix" in name:
        unet = UNet2DConditionModel.from_config(pipeline.unet.config, in_channels=8).eval()
        unet.load_state_dict({key: made(key, tuple(value.shape)) for key, value in unet.state_dict().items()})
        pipeline.register_modules(unet=unet)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def encoder():
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION))
    model.load_state_dict({key: made(key, list(value.shape)) if value.is_floating_point() else value for key, value in model.state_dict().items()})
    return model.eval()


def numbers(tensor):
    return [round(v, 6) for v in tensor.flatten().tolist()]


def draw(name, adapters, scale, images, options, folder):
    pipeline = load(name)
    repo = CLASSES[name][1]
    pipeline.load_ip_adapter(str(folder), subfolder=repo, weight_name=[f"{each}.safetensors" for each in adapters], image_encoder_folder="image/encoder")
    if scale is not None:
        pipeline.set_ip_adapter_scale(scale)
    given = {**options}
    prompts = given.pop("prompts", 1)
    call = dict(prompt=["a photo of a cat", "a dog"][:prompts], num_inference_steps=3, output_type="latent", generator=torch.Generator().manual_seed(8))
    size = dict(height=32, width=48)
    if "Img2Img" in name or "Pix2Pix" in name:
        call |= dict(image=picture(48, 32))
    elif "Inpaint" in name:
        call |= dict(image=picture(48, 32), mask_image=mask_picture(48, 32, (10, 5, 40, 30)), **size)
    elif "ControlNet" in name:
        call |= dict(image=picture(48, 32), **size)
    else:
        call |= size
    pictures = [[IMAGES[each]() for each in of_one] for of_one in images]
    return pipeline, pipeline(**call, ip_adapter_image=pictures, **given).images


files, runs, gold = {}, [], {}
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    model = encoder()
    model.save_pretrained(folder / "image" / "encoder")
    config = json.loads((folder / "image" / "encoder" / "config.json").read_text())
    shapes = {key: list(value.shape) for key, value in model.state_dict().items() if value.is_floating_point()}
    for repo, name in (("sd15", SD), ("sdxl", XL)):
        (folder / repo).mkdir()
        unet = load(name).unet
        files[repo] = {}
        for kind, make in KINDS.items():
            files[repo][kind] = shapes_of(make, unet)
            save_file({key: made(key, shape) for key, shape in files[repo][kind].items()}, folder / repo / f"{kind}.safetensors")
    for name, adapters, scale, images, options in RUNS:
        pipeline, latents = draw(name, adapters, scale, images, options, folder)
        case = {"class": name, "adapters": adapters, "scale": scale, "images": images, "options": options}
        runs.append(dict(**case, shape=list(latents.shape), latents=numbers(latents)))
        print(json.dumps({**case, "first": numbers(latents)[:2]}))
        if not gold:
            pixels = pipeline.feature_extractor([picture(37, 30), picture(24, 40)], return_tensors="pt").pixel_values
            with torch.no_grad():
                output = pipeline.image_encoder(pixels, output_hidden_states=True)
            gold = dict(embeds=numbers(output.image_embeds), states=numbers(output.hidden_states[-2]))
lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
head = json.dumps({"encoder": {"config": config, "shapes": shapes, **gold}, "files": files})[1:-1]
OUT.write_text(f'{{\n  {head},\n  "runs": [\n{lines}\n  ]\n}}\n')
