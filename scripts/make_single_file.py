"""Makes test/fixtures/pipelines/single_file.json: what the tensors of checkpoints in one file are called, and what diffusers makes of them.
Files are made of the tiny models of the tests in the layout of the first implementations, loaded by from_single_file, and must give the
models' own weights. Run from the project's root with diffusers 0.42.1, transformers and torch 2.13.0:

    python scripts/make_single_file.py
"""
import json
import re
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/single_file.json")
RESNET = dict(norm1="in_layers.0", conv1="in_layers.2", norm2="out_layers.0", conv2="out_layers.3")
RESNET |= dict(time_emb_proj="emb_layers.1", conv_shortcut="skip_connection")
TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
OPEN_CLIP = {
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
}
OPEN_CLIP_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn": "attn"}


def unet(key, each, attended):
    for name, first in TOP.items():
        if key.startswith(name + "."):
            return first + key[len(name) :]
    side, *parts = key.split(".")
    if side == "mid_block":
        kind, index, *rest = parts
        at, rest = (1, rest) if kind == "attentions" else (2 * int(index), [RESNET[rest[0]], *rest[1:]])
        return ".".join([f"middle_block.{at}", *rest])
    block, kind, index, *rest = parts
    first = int(block) * (each + 1)
    if kind == "downsamplers":
        return f"input_blocks.{1 + first + each}.0.op.{rest[-1]}"
    if kind == "upsamplers":
        return f"output_blocks.{first + each}.{2 if attended[int(block)] else 1}.conv.{rest[-1]}"
    if kind == "resnets":
        rest = [RESNET[rest[0]], *rest[1:]]
    place = f"input_blocks.{1 + first + int(index)}" if side == "down_blocks" else f"output_blocks.{first + int(index)}"
    return ".".join([place, "1" if kind == "attentions" else "0", *rest])


def vae(key, levels):
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key).replace("mid_block.attentions.0", "mid.attn_1")
    for new, old in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
        key = key.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key).replace("downsamplers.0", "downsample")
    key = re.sub(r"down_blocks\.(\d)\.downsample", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)


def open_clip(tensors, prefix):
    """Pairs (key in the file, keys here), and the file's tensors."""
    pairs, made, thirds = [], {}, {}
    for key, value in tensors.items():
        if key in OPEN_CLIP:
            first = prefix + OPEN_CLIP[key]
            made[first] = value.T.contiguous() if first.endswith("text_projection") else value
            pairs.append((first, [key]))
            continue
        name = re.sub(r"^text_model\.encoder\.layers\.", "transformer.resblocks.", key)
        for new, old in OPEN_CLIP_LAYER.items():
            name = name.replace(f".{new}.", f".{old}.")
        third = re.search(r"\.attn\.([qkv])_proj\.(weight|bias)$", name)
        if third:
            thirds.setdefault(name[: third.start()] + f".attn.in_proj_{third[2]}", {})[third[1]] = key
        else:
            made[prefix + name] = value
            pairs.append((prefix + name, [key]))
    for name, keys in thirds.items():
        made[prefix + name] = torch.cat([tensors[keys[part]] for part in "qkv"])
        pairs.append((prefix + name, [keys[part] for part in "qkv"]))
    return pairs, made


def with_text_model(tensors):
    bare = ("embeddings.", "encoder.", "final_layer_norm.")
    return {(f"text_model.{k}" if k.startswith(bare) else k): v for k, v in tensors.items() if "position_ids" not in k}


def weights(model, part):
    (file,) = (MODELS / model / part).glob("*.safetensors")
    return load_file(file)


def made_of(model):
    config = json.loads((MODELS / model / "unet/config.json").read_text())
    attended = ["Attn" in kind for kind in config["up_block_types"]]
    levels = len(json.loads((MODELS / model / "vae/config.json").read_text())["block_out_channels"])
    tensors, pairs = {}, []
    for key, value in weights(model, "unet").items():
        first = "model.diffusion_model." + unet(key, config["layers_per_block"], attended)
        tensors[first] = value
        pairs.append((first, "unet", [key]))
    for key, value in weights(model, "vae").items():
        first = "first_stage_model." + vae(key, levels)
        is_matrix = ".attn_1." in first and value.ndim == 2
        tensors[first] = value[:, :, None, None] if is_matrix else value
        pairs.append((first, "vae", [key]))
    text = with_text_model(weights(model, "text_encoder"))
    if model == "sd21":
        found, made = open_clip(text, "cond_stage_model.model.")
    else:
        prefix = "conditioner.embedders.0.transformer." if model == "sdxl" else "cond_stage_model.transformer."
        found, made = [(prefix + key, [key]) for key in text], {prefix + key: value for key, value in text.items()}
    tensors |= made
    pairs += [(first, "text_encoder", keys) for first, keys in found]
    if model == "sdxl":
        found, made = open_clip(with_text_model(weights(model, "text_encoder_2")), "conditioner.embedders.1.model.")
        tensors |= made
        pairs += [(first, "text_encoder_2", keys) for first, keys in found]
    return {key: value.contiguous() for key, value in tensors.items()}, pairs


def same(a, b, what):
    a, b = with_text_model(a), with_text_model(b)
    assert a.keys() == b.keys(), (what, a.keys() ^ b.keys())
    for key in a:
        assert torch.equal(a[key].float(), b[key].float()), (what, key)


out = {}
for model, Class in {"sd15": StableDiffusionPipeline, "sd21": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}.items():
    tensors, pairs = made_of(model)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{model}.safetensors"
        save_file(tensors, file)
        loaded = Class.from_single_file(str(file), config=str(MODELS / model))
        own = Class.from_pretrained(MODELS / model)
        for part in ["unet", "vae", "text_encoder", *(["text_encoder_2"] if model == "sdxl" else [])]:
            same(getattr(loaded, part).state_dict(), getattr(own, part).state_dict(), f"{model} {part}")
        alone = UNet2DConditionModel.from_single_file(str(file), config=str(MODELS / model), subfolder="unet")
        same(alone.state_dict(), own.unet.state_dict(), f"{model} alone")
        bare = {key.removeprefix("first_stage_model."): value for key, value in tensors.items() if key.startswith("first_stage_model.")}
        save_file(bare, file)
        same(AutoencoderKL.from_single_file(str(file), config=str(MODELS / model), subfolder="vae").state_dict(), own.vae.state_dict(), "vae alone")
    out[model] = pairs
lines = ",\n".join(f'  "{model}": [\n' + ",\n".join(f"    {json.dumps(pair)}" for pair in pairs) + "\n  ]" for model, pairs in out.items())
OUT.write_text(f"{{\n{lines}\n}}\n")
