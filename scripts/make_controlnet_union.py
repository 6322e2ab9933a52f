"""Makes test/fixtures/pipelines/controlnet_union.json: what diffusers' ControlNetUnionModel computes, and what its three pipelines of Stable
Diffusion XL draw. The ControlNets have made weights. Two things that diffusers 0.42.1 trips over are mended for it: guess mode with guidance,
where it has rows of control types for prompts that the ControlNet does not see, and padding_mask_crop, of which it looks for the picture among
those that are read. Run from the project's root with diffusers 0.42.1, transformers, torch 2.13.0 and Pillow:

    python scripts/make_controlnet_union.py
"""
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import ControlNetUnionModel

from made_pictures import mask_picture, picture, tensor
from made_weights import made

REPO = Path("test/fixtures/models/repos/sdxl")
OUT = Path("test/fixtures/pipelines/controlnet_union.json")
CAT, DOG = "a photo of a cat", "a dog"
BOX = (8, 0, 40, 25)
EULER, DDIM, HEUN = "EulerDiscreteScheduler", "DDIMScheduler", "HeunDiscreteScheduler"
SMALL = dict(height=32, width=48)

UNION = dict(
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
    num_control_type=6,
    num_trans_channel=16,
    num_trans_head=2,
    num_trans_layer=1,
    num_proj_channel=16,
)
NETS = dict(
    union=UNION,
    deep=dict(UNION, num_control_type=3, num_trans_head=4, num_trans_layer=3, flip_sin_to_cos=False, freq_shift=1),
    pooled=dict(UNION, global_pool_conditions=True),
    shallow={**UNION, "addition_embed_type": None, "num_control_type": 2, "num_trans_head": 1, "addition_time_embed_dim": 6},
    text={**UNION, "addition_embed_type": "text", "addition_embed_type_num_heads": 7, "num_trans_layer": 2},
    vectors=dict(UNION, addition_embed_type=None, class_embed_type="projection", projection_class_embeddings_input_dim=9),
)
IMAGES = {
    "48x32": lambda: picture(48, 32),
    "61x45": lambda: picture(61, 45),
    "grey": lambda: picture(48, 32, 1),
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
TEXT, FROM, INTO = "XLControlNetUnion", "XLControlNetUnionImg2Img", "XLControlNetUnionInpaint"
TWO = ["48x32", "61x45"]
# Pipeline, ControlNets, scheduler, the picture to begin with, the mask, what is read, its modes, options.
RUNS = [
    (TEXT, ["union"], EULER, None, None, "48x32", 3, dict()),
    (TEXT, ["union"], DDIM, None, None, ["61x45"], [0], dict(controlnet_conditioning_scale=0.5, prompt_2=DOG, negative_prompt="ugly")),
    (TEXT, ["union"], EULER, None, None, TWO, [3, 1], dict(SMALL, guidance_scale=1.0, controlnet_conditioning_scale=[0.5, 1.2])),
    (TEXT, ["union"], DDIM, None, None, TWO, [5, 5], dict(SMALL, control_guidance_start=[0.0, 0.3], control_guidance_end=[0.7, 1.0])),
    (TEXT, ["union"], EULER, None, None, TWO, [0, 2], dict(SMALL, control_guidance_end=0.5)),
    (TEXT, ["union"], HEUN, None, None, ["tensor"], [4], dict(control_guidance_start=0.3, original_size=(512, 640))),
    (TEXT, ["union"], EULER, None, None, TWO, [1, 4], dict(SMALL, guess_mode=True, guidance_scale=1.0)),
    (TEXT, ["union"], EULER, None, None, "48x32", 2, dict(guess_mode=True, num_images_per_prompt=2)),
    (TEXT, ["union"], EULER, None, None, ["two", "grey"], [1, 3], dict(SMALL, prompt=[CAT, DOG], negative_original_size=(64, 32), negative_target_size=(32, 64))),
    (TEXT, ["union"], EULER, None, None, ["48x32"], [3], dict(denoising_end=0.6, control_guidance_end=0.5)),
    (TEXT, ["union"], EULER, None, None, ["48x32"], [1], dict(output_type="np", seeds=[9])),
    (TEXT, ["deep"], DDIM, None, None, ["48x32", "grey", "48x32"], [0, 1, 2], dict(controlnet_conditioning_scale=0.7)),
    (TEXT, ["pooled"], EULER, None, None, TWO, [1, 2], dict(SMALL)),
    (TEXT, ["union", "deep"], EULER, None, None, TWO, [5, 2], dict(SMALL, controlnet_conditioning_scale=[0.5, 0.8])),
    (TEXT, ["union", "deep"], DDIM, None, None, ["two", "48x32"], [5, 2], dict(SMALL, prompt=[CAT, DOG], control_guidance_end=[0.5, 1.0])),
    (TEXT, ["union", "deep"], EULER, None, None, TWO, [1, 0], dict(SMALL, guess_mode=True, guidance_scale=1.0)),
    (FROM, ["union"], EULER, "48x32", None, "48x32", 3, dict(negative_prompt="ugly")),
    (FROM, ["union"], DDIM, "61x45", None, ["two"], [1], dict(SMALL, strength=0.6, prompt=[CAT, DOG])),
    (FROM, ["union"], EULER, "61x45", None, TWO, [3, 1], dict(SMALL, controlnet_conditioning_scale=[1.0, 0.4], control_guidance_end=[1.0, 0.5])),
    (FROM, ["union", "deep"], HEUN, "48x32", None, TWO, [5, 2], dict(SMALL, control_guidance_end=[0.5, 1.0])),
    (
        FROM,
        ["union"],
        EULER,
        "latents",
        None,
        ["48x32"],
        [0],
        dict(negative_original_size=(64, 32), negative_crops_coords_top_left=(4, 0), target_size=(1024, 768)),
    ),
    (INTO, ["union"], EULER, "48x32", "48x32", "48x32", 3, dict()),
    (INTO, ["pooled"], DDIM, "61x45", "61x45 rgb", ["48x32"], [1], dict(SMALL, strength=0.6, guidance_rescale=0.7)),
    (
        INTO,
        ["union"],
        EULER,
        "48x32",
        "48x32",
        TWO,
        [4, 1],
        dict(SMALL, denoising_start=0.3, denoising_end=0.8, num_inference_steps=8, control_guidance_end=[0.5, 1.0]),
    ),
    (INTO, ["union"], DDIM, "96x64", "96x64", ["96x64"], [5], dict(SMALL, padding_mask_crop=4, output_type="pil")),
    (INTO, ["union", "deep"], DDIM, "48x32", "48x32", TWO, [3, 0], dict(SMALL, strength=1.0, controlnet_conditioning_scale=[0.5, 0.8])),
]
# What a ControlNet computes alone: which, modes, options.
FORWARDS = [
    ("union", [3], dict()),
    ("union", [0], dict(conditioning_scale=0.7, guess_mode=True)),
    ("union", [3, 1], dict(conditioning_scale=[0.5, 1.2])),
    ("union", [3, 3], dict(conditioning_scale=0.5, guess_mode=True)),
    ("union", [5, 0], dict(conditioning_scale=0.5, from_multi=True)),
    ("deep", [2, 0, 1], dict()),
    ("pooled", [1], dict(guess_mode=True)),
    ("shallow", [1, 0], dict()),
    ("text", [4], dict()),
    ("vectors", [2, 5], dict()),
]


def ramp(start, stop):
    return torch.linspace(start, stop, 4 * 4 * 6).reshape(1, 4, 4, 6)


def named(what):
    """Pictures in place of their names."""
    return [named(each) for each in what] if isinstance(what, list) else IMAGES[what]()


class ControlNetUnion(ControlNetUnionModel):
    def forward(self, sample, *inputs, control_type, **options):
        return super().forward(sample, *inputs, control_type=control_type[: len(sample)], **options)


def net(name):
    model = ControlNetUnion(**NETS[name])
    model.load_state_dict({key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model.eval()


def load(name, nets, dtype=torch.float32):
    cls = getattr(diffusers, f"StableDiffusion{name}Pipeline")
    models = [net(each).to(dtype) for each in nets]
    parts = dict(controlnet=models if len(models) > 1 else models[0])
    pipeline = cls.from_pretrained(REPO, add_watermarker=False, torch_dtype=dtype, **parts)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.check_inputs = lambda *_: None
    return pipeline


def draw(pipeline, scheduler, image, mask, control, mode, options):
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    options = dict(options)
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(prompt=CAT, num_inference_steps=4, output_type="latent", generator=generators if seeds else generators[0])
    call.update(control_image=named(control), control_mode=mode)
    if image is not None:
        call.update(image=IMAGES[image]())
    if mask is not None:
        call.update(mask_image=MASKS[mask]())
    images = pipeline(**{**call, **options}).images
    if options.get("output_type") == "pil":
        images = np.stack([np.asarray(each) for each in images])
    # What is drawn from the generator afterwards shows that as many numbers were used.
    return torch.as_tensor(images), torch.randn(4, generator=generators[0]).tolist()


def forward(name, modes, options):
    model = net(name)
    inputs = [torch.linspace(-1, 1, 2 * 4 * 6 * 4).reshape(2, 4, 6, 4), 321, torch.linspace(2, -1, 2 * 7 * 56).reshape(2, 7, 56)]
    conditions = [torch.linspace(0, 1 - 0.2 * i, 2 * 3 * 48 * 32).reshape(2, 3, 48, 32) for i in range(len(modes))]
    control_type = torch.zeros(2, model.config.num_control_type)
    control_type[:, modes] = 1
    more = {}
    if model.config.addition_embed_type == "text_time":
        ids = torch.tensor([[512.0, 640, 0, 8, 1024, 768], [64, 32, 4, 0, 32, 64]])
        more = dict(added_cond_kwargs=dict(text_embeds=torch.linspace(-2, 2, 2 * 28).reshape(2, 28), time_ids=ids))
    if name == "vectors":
        more = dict(class_labels=torch.linspace(-1, 1, 2 * 9).reshape(2, 9))
    with torch.no_grad():
        down, mid = model(*inputs, conditions, control_type=control_type, control_type_idx=modes, **more, **options, return_dict=False)
    of = dict(name=name, modes=modes, options=options, shape=list(down[-1].shape))
    return dict(**of, down=[round(v, 5) for v in down[-1].flatten().tolist()], mid=[round(v, 5) for v in mid.flatten().tolist()])


if __name__ == "__main__":
    runs = []
    pipelines = {}
    for name, nets, scheduler, image, mask, control, mode, options in RUNS:
        key = str((name, nets))
        if key not in pipelines:
            pipelines[key] = load(name, nets)
        images, after = draw(pipelines[key], scheduler, image, mask, control, mode, options)
        # Pictures are compared to 1/255.
        digits = 3 if options.get("output_type") == "np" else 5
        if options.get("output_type") == "pil":
            # Of the whole picture the part that was drawn.
            values = images[0, 16:36, 34:66].flatten().tolist()
        else:
            values = [round(v, digits) for v in images.flatten().tolist()]
        of = dict(pipeline=name, nets=nets, scheduler=scheduler, image=image, mask=mask, control=control, mode=mode, options=options)
        runs.append(dict(**of, after=[round(v, 5) for v in after], shape=list(images.shape), images=values))
        print(name, nets, scheduler, image, mask, control, mode, options, list(images.shape), float(images.abs().max()))

    half, after = draw(load(TEXT, ["union"], torch.float16), EULER, None, None, TWO, [3, 1], dict(SMALL, guidance_scale=2.0))
    half = dict(after=[round(v, 5) for v in after], images=[round(v, 5) for v in half.flatten().tolist()])
    models = [forward(*each) for each in FORWARDS]
    lines = [",\n".join(f"    {json.dumps(each)}" for each in entries) for entries in (runs, models)]
    start = f'{{\n  "nets": {json.dumps(NETS)},\n  "half": {json.dumps(half)},\n'
    OUT.write_text(f'{start}  "runs": [\n{lines[0]}\n  ],\n  "models": [\n{lines[1]}\n  ]\n}}\n')
