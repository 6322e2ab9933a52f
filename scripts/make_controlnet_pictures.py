"""Makes test/fixtures/pipelines/controlnet_pictures.json: what diffusers' pipelines with ControlNets draw besides those of
make_controlnet_pipeline.py: of Stable Diffusion XL, from pictures, and with masks; and what ControlNets of further configs compute. XL's
ControlNets and the UNet for masks have made weights. Run from the project's root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_controlnet_pictures.py
"""
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from made_pictures import mask_picture, picture, tensor
from made_weights import made

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/controlnet_pictures.json")
CAT, DOG = "a photo of a cat", "a dog"
BOX = (8, 0, 40, 25)
EULER, DDIM, HEUN = "EulerDiscreteScheduler", "DDIMScheduler", "HeunDiscreteScheduler"
SMALL = dict(height=32, width=48)

# The configs of ControlNets with made weights, and what differs from XL's in the others.
XL = dict(
    block_out_channels=[16, 16, 24],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    layers_per_block=1,
    attention_head_dim=[2, 2, 3],
    transformer_layers_per_block=[1, 1, 2],
    cross_attention_dim=56,
    norm_num_groups=8,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=76,
    conditioning_embedding_out_channels=[8, 8, 16, 16],
)
NETS = dict(
    xl=XL,
    bgr=dict(XL, controlnet_conditioning_channel_order="bgr"),
    untold={**XL, "addition_embed_type": None, "addition_time_embed_dim": None, "projection_class_embeddings_input_dim": None},
    refiner=dict(XL, cross_attention_dim=32, projection_class_embeddings_input_dim=28 + 5 * 8),
    pooled=dict(XL, global_pool_conditions=True),
    text={**XL, "addition_embed_type": "text", "addition_embed_type_num_heads": 7},
    classes=dict(XL, addition_embed_type=None, num_class_embeds=5),
    levels=dict(XL, addition_embed_type=None, class_embed_type="timestep"),
    vectors=dict(XL, addition_embed_type=None, class_embed_type="projection", projection_class_embeddings_input_dim=9),
)
# What differs from the fixtures' in the configs of UNets with made weights.
UNETS = {
    "masked": dict(in_channels=9),
    "xl masked": dict(in_channels=9),
    "refiner": dict(cross_attention_dim=32, projection_class_embeddings_input_dim=28 + 5 * 8),
}
IMAGES = {
    "48x32": lambda: picture(48, 32),
    "61x45": lambda: picture(61, 45),
    "two": lambda: [picture(48, 32), picture(61, 45)],
    "tensor": lambda: tensor(50, 34),
    "latents": lambda: ramp(-2, 2),
    "96x64": lambda: picture(96, 64),
}
MASKS = {
    "48x32": lambda: mask_picture(48, 32, BOX),
    "61x45 rgb": lambda: mask_picture(61, 45, BOX, "RGB"),
    "96x64": lambda: mask_picture(96, 64, (40, 20, 60, 30)),
}
# Pipeline, UNet, ControlNets, scheduler, the picture to begin with, the mask, what is read, options.
RUNS = [
    ("XLControlNet", "sdxl", ["xl"], EULER, None, None, "48x32", dict()),
    ("XLControlNet", "sdxl", ["xl"], DDIM, None, None, "61x45", dict(controlnet_conditioning_scale=0.5, prompt_2=DOG, negative_prompt="ugly")),
    ("XLControlNet", "sdxl", ["xl"], EULER, None, None, "tensor", dict(SMALL, guidance_scale=1.0)),
    (
        "XLControlNet",
        "sdxl",
        ["xl"],
        EULER,
        None,
        None,
        "two",
        dict(SMALL, prompt=[CAT, DOG], num_images_per_prompt=2, negative_original_size=(64, 32), negative_target_size=(32, 64), guess_mode=True),
    ),
    ("XLControlNet", "sdxl", ["xl"], EULER, None, None, "48x32", dict(denoising_end=0.6, control_guidance_end=0.5)),
    ("XLControlNet", "sdxl", ["xl"], HEUN, None, None, "48x32", dict(control_guidance_start=0.3, original_size=(512, 640))),
    ("XLControlNet", "sdxl", ["xl"], EULER, None, None, "48x32", dict(output_type="np")),
    ("XLControlNet", "sdxl", ["untold"], EULER, None, None, "48x32", dict(guess_mode=True)),
    ("XLControlNet", "sdxl", ["pooled"], EULER, None, None, "48x32", dict()),
    ("XLControlNet", "sdxl", ["xl", "bgr"], EULER, None, None, "two", dict(SMALL, controlnet_conditioning_scale=[0.5, 0.8])),
    ("XLControlNet", "sdxl", ["xl", "bgr"], DDIM, None, None, "two", dict(SMALL, guess_mode=True, control_guidance_end=[0.5, 1.0])),
    ("ControlNetImg2Img", "sd15", ["sd"], DDIM, "48x32", None, "48x32", dict()),
    ("ControlNetImg2Img", "sd15", ["sd"], DDIM, "61x45", None, "48x32", dict(height=35, width=50, strength=0.6)),
    ("ControlNetImg2Img", "sd15", ["sd"], EULER, "48x32", None, "tensor", dict(SMALL, guess_mode=True, controlnet_conditioning_scale=1.2)),
    (
        "ControlNetImg2Img",
        "sd15",
        ["sd"],
        DDIM,
        "two",
        None,
        "two",
        dict(SMALL, prompt=[CAT, DOG], num_images_per_prompt=2, seeds=[8, 9, 10, 11], strength=0.6),
    ),
    ("ControlNetImg2Img", "sd15", ["sd"], HEUN, "48x32", None, "48x32", dict(guidance_scale=1.0, control_guidance_end=0.5)),
    ("ControlNetImg2Img", "sd15", ["sd"], "PNDMScheduler", "48x32", None, "48x32", dict(strength=0.6, eta=0.5)),
    ("ControlNetImg2Img", "sd15", ["sd"], DDIM, "latents", None, "48x32", dict(strength=0.6)),
    ("ControlNetImg2Img", "sd15", ["sd"], DDIM, "48x32", None, "48x32", dict(latents=True)),
    ("ControlNetImg2Img", "sd15", ["sd", "sd bgr"], DDIM, "48x32", None, "two", dict(SMALL, controlnet_conditioning_scale=[0.5, 0.8])),
    ("ControlNetInpaint", "sd15", ["sd"], DDIM, "48x32", "48x32", "48x32", dict()),
    ("ControlNetInpaint", "sd15", ["sd"], DDIM, "61x45", "61x45 rgb", "48x32", dict(SMALL, strength=0.6, controlnet_conditioning_scale=1.0)),
    ("ControlNetInpaint", "sd15", ["sd"], EULER, "48x32", "48x32", "tensor", dict(SMALL, guess_mode=True, strength=0.6)),
    ("ControlNetInpaint", "sd15", ["sd"], DDIM, "48x32", "48x32", "48x32", dict(num_images_per_prompt=2, seeds=[8, 9], strength=0.8)),
    ("ControlNetInpaint", "sd15", ["sd"], DDIM, "48x32", "48x32", "48x32", dict(latents=True, guidance_scale=1.0)),
    ("ControlNetInpaint", "sd15", ["sd"], DDIM, "96x64", "96x64", "96x64", dict(SMALL, padding_mask_crop=4, output_type="pil")),
    ("ControlNetInpaint", "masked", ["sd"], DDIM, "48x32", "48x32", "48x32", dict()),
    ("ControlNetInpaint", "masked", ["sd"], DDIM, "48x32", "48x32", "48x32", dict(guess_mode=True, strength=0.6)),
    ("ControlNetInpaint", "masked", ["sd"], "DPMSolverMultistepScheduler", "two", "48x32", "48x32", dict(SMALL, prompt=[CAT, DOG])),
    ("ControlNetInpaint", "masked", ["sd", "sd bgr"], DDIM, "48x32", "48x32", "two", dict(SMALL, control_guidance_end=[0.5, 1.0])),
    ("XLControlNetImg2Img", "sdxl", ["xl"], EULER, "48x32", None, "48x32", dict(negative_prompt="ugly")),
    ("XLControlNetImg2Img", "sdxl", ["xl"], DDIM, "61x45", None, "48x32", dict(SMALL, strength=0.6, guess_mode=True, prompt=[CAT, DOG])),
    ("XLControlNetImg2Img", "refiner", ["refiner"], EULER, "48x32", None, "48x32", dict(strength=0.6, aesthetic_score=7.5, original_size=(32, 48))),
    ("XLControlNetImg2Img", "sdxl", ["xl", "bgr"], HEUN, "48x32", None, "two", dict(SMALL, control_guidance_end=[0.5, 1.0])),
    (
        "XLControlNetImg2Img",
        "sdxl",
        ["xl"],
        EULER,
        "48x32",
        None,
        "48x32",
        dict(latents=True, negative_original_size=(64, 32), negative_crops_coords_top_left=(4, 0), target_size=(1024, 768)),
    ),
    ("XLControlNetInpaint", "sdxl", ["xl"], EULER, "48x32", "48x32", "48x32", dict()),
    ("XLControlNetInpaint", "sdxl", ["pooled"], DDIM, "61x45", "61x45 rgb", "48x32", dict(SMALL, strength=0.6, guidance_rescale=0.7)),
    (
        "XLControlNetInpaint",
        "sdxl",
        ["xl"],
        EULER,
        "48x32",
        "48x32",
        "48x32",
        dict(denoising_start=0.3, denoising_end=0.8, num_inference_steps=8, control_guidance_end=0.5, guess_mode=True),
    ),
    ("XLControlNetInpaint", "sdxl", ["xl"], DDIM, "96x64", "96x64", "96x64", dict(SMALL, padding_mask_crop=4, output_type="pil")),
    ("XLControlNetInpaint", "xl masked", ["xl"], EULER, "48x32", "48x32", "48x32", dict(num_images_per_prompt=2, seeds=[8, 9])),
    ("XLControlNetInpaint", "refiner", ["refiner"], EULER, "48x32", "48x32", "48x32", dict(strength=0.6, crops_coords_top_left=(4, 0))),
    ("XLControlNetInpaint", "xl masked", ["xl", "bgr"], DDIM, "48x32", "48x32", "two", dict(SMALL, strength=1.0)),
]


def ramp(start, stop):
    return torch.linspace(start, stop, 4 * 4 * 6).reshape(1, 4, 4, 6)


def with_made_weights(model):
    model.load_state_dict({key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


def net(name):
    if name == "sd":
        return ControlNetModel.from_pretrained(MODELS / "controlnet")
    if name == "sd bgr":
        return ControlNetModel.from_pretrained(MODELS / "controlnet", controlnet_conditioning_channel_order="bgr")
    return with_made_weights(ControlNetModel(**NETS[name]))


def load(name, unet, nets):
    cls = getattr(diffusers, f"StableDiffusion{name}Pipeline")
    models = [net(each) for each in nets]
    parts = dict(controlnet=models if len(models) > 1 else models[0])
    repo = MODELS / ("sdxl" if name.startswith("XL") else "sd15")
    if unet in UNETS:
        config = UNet2DConditionModel.load_config(repo, subfolder="unet")
        parts["unet"] = with_made_weights(UNet2DConditionModel.from_config(config, **UNETS[unet]))
    if name.startswith("XL"):
        pipeline = cls.from_pretrained(repo, add_watermarker=False, **parts)
        if unet == "refiner":
            pipeline.register_modules(text_encoder=None, tokenizer=None)
            pipeline.register_to_config(requires_aesthetics_score=True)
    else:
        pipeline = cls.from_pretrained(repo, safety_checker=None, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, scheduler, image, mask, control, options):
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    if options.get("latents"):
        options["latents"] = ramp(2, -2)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    if image is None:
        call.update(image=IMAGES[control]())
    else:
        call.update(image=IMAGES[image](), control_image=IMAGES[control]())
    if mask is not None:
        call.update(mask_image=MASKS[mask]())
    images = pipeline(**{**call, **options}).images
    if options.get("output_type") == "pil":
        images = np.stack([np.asarray(each) for each in images])
    # What is drawn from the generator afterwards shows that as many numbers were used.
    return torch.as_tensor(images), torch.randn(4, generator=generators[0]).tolist()


def forward(name):
    model = net(name)
    inputs = [torch.linspace(-1, 1, 2 * 4 * 6 * 4).reshape(2, 4, 6, 4), 321, torch.linspace(2, -1, 2 * 7 * 56).reshape(2, 7, 56)]
    condition = torch.linspace(0, 1, 2 * 3 * 48 * 32).reshape(2, 3, 48, 32)
    more = {}
    if name == "xl":
        ids = torch.tensor([[512.0, 640, 0, 8, 1024, 768], [64, 32, 4, 0, 32, 64]])
        more = dict(added_cond_kwargs=dict(text_embeds=torch.linspace(-2, 2, 2 * 28).reshape(2, 28), time_ids=ids))
    if name in ("classes", "levels"):
        more = dict(class_labels=torch.tensor([3, 1]))
    if name == "vectors":
        more = dict(class_labels=torch.linspace(-1, 1, 2 * 9).reshape(2, 9))
    with torch.no_grad():
        down, mid = model(*inputs, condition, **more, return_dict=False)
    last = down[-1]
    return dict(name=name, shape=list(last.shape), down=[round(v, 5) for v in last.flatten().tolist()], mid=[round(v, 5) for v in mid.flatten().tolist()])


runs = []
pipelines = {}
for name, unet, nets, scheduler, image, mask, control, options in RUNS:
    key = str((name, unet, nets))
    if key not in pipelines:
        pipelines[key] = load(name, unet, nets)
    images, after = draw(pipelines[key], scheduler, image, mask, control, options)
    # Pictures are compared to 1/255.
    digits = 3 if options.get("output_type") == "np" else 5
    if options.get("output_type") == "pil":
        # Of the whole picture the part that was drawn.
        values = images[0, 16:36, 34:66].flatten().tolist()
    else:
        values = [round(v, digits) for v in images.flatten().tolist()]
    of = dict(pipeline=name, unet=unet, nets=nets, scheduler=scheduler, image=image, mask=mask, control=control, options=options)
    runs.append(dict(**of, after=[round(v, 5) for v in after], shape=list(images.shape), images=values))
    print(name, unet, nets, scheduler, image, mask, control, options, list(images.shape), float(images.abs().max()))

models = [forward(name) for name in NETS if name not in ("bgr", "pooled", "refiner")]
lines = [",\n".join(f"    {json.dumps(each)}" for each in entries) for entries in (runs, models)]
OUT.write_text(f'{{\n  "nets": {json.dumps(NETS)},\n  "unets": {json.dumps(UNETS)},\n  "runs": [\n{lines[0]}\n  ],\n  "models": [\n{lines[1]}\n  ]\n}}\n')
