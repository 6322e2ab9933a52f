"""Makes test/fixtures/pipelines/lora.json: what diffusers draws with the tiny models of the tests under LoRA weights, in each spelling of
their files. The weights are those of test/support/lora.ts. Run from the project's root with diffusers 0.42.1, peft, transformers and torch
2.13.0:

    python scripts/make_lora.py
"""
import json
import math
import tempfile
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/lora.json")


def value(key, shape, size):
    """As test/support/lora.ts: waves whose phase is that of the key (FNV-1a)."""
    phase = 2166136261
    for byte in key.encode():
        phase = (phase ^ byte) * 16777619 % 2**32
    phase %= 1000
    numbers = [size * math.sin(phase + 0.7 * i) for i in range(math.prod(shape))]
    return torch.tensor(numbers, dtype=torch.float64).float().reshape(shape)


def layers(model, wanted):
    """[name, shape of the weight] of the layers that are wanted."""
    found = [(name, list(module.weight.shape)) for name, module in model.named_modules() if hasattr(module, "weight")]
    return [(name, shape) for name, shape in found if len(shape) > 1 and any(part in name for part in wanted)]


def pair(down, up, shape, rank):
    """Keys and shapes of both matrices of a layer."""
    return {down: [rank, *shape[1:]], up: [shape[0], rank, *(1 for _ in shape[2:])]}


def of_text(name):
    """As names were before transformers 5."""
    return name if name.startswith("text_") else f"text_model.{name}"


ATTENTION = [".to_q", ".to_k", ".to_v", ".to_out.0"]
TEXT = [".q_proj", ".k_proj", ".v_proj", ".out_proj"]


def peft_unet(pipeline):
    return [(f"unet.{name}", 4, shape) for name, shape in layers(pipeline.unet, ATTENTION)]


def peft(pipeline):
    text = layers(pipeline.text_encoder, [".q_proj", ".v_proj"])
    return [*peft_unet(pipeline), *((f"text_encoder.{of_text(name)}", 4, shape) for name, shape in text)]


def every_layer(pipeline):
    """Convolutions, the feed-forward layers and those of the time, too, of two ranks; new names of text encoders."""
    unet, text = layers(pipeline.unet, [""]), layers(pipeline.text_encoder, [*TEXT, ".fc1", ".fc2"])
    found = [(f"unet.{name}", 3 if len(shape) == 4 else 6, shape) for name, shape in unet]
    return [*found, *((f"text_encoder.{name}", 2, shape) for name, shape in text)]


def processors(pipeline):
    """As diffusers saved them first."""
    found = []
    for name, shape in layers(pipeline.unet, ATTENTION):
        attention, _, layer = name.replace(".to_out.0", ".to_out").rpartition(".")
        found.append((f"unet.{attention}.processor.{layer}_lora", 4, shape))
    old = {"q_proj": "to_q_lora", "k_proj": "to_k_lora", "v_proj": "to_v_lora", "out_proj": "to_out_lora"}
    for name, shape in layers(pipeline.text_encoder, TEXT):
        attention, _, layer = of_text(name).rpartition(".")
        found.append((f"text_encoder.{attention}.{old[layer]}", 4, shape))
    return found


def down_up(pipeline):
    """As diffusers saved them before peft's names."""
    unet, text = layers(pipeline.unet, [*ATTENTION, ".proj_in", ".ff.net.2"]), layers(pipeline.text_encoder, TEXT)
    found = [(f"unet.{name}.lora", 4, shape) for name, shape in unet]
    return [*found, *((f"text_encoder.{of_text(name)}.lora_linear_layer", 4, shape) for name, shape in text)]


def trained(prefix, name, shape, rank):
    return (f"{prefix}_{name.replace('.', '_')}", rank, shape)


def kohya(pipeline):
    """As kohya's trainer saves them: alphas, underscores."""
    unet, text = layers(pipeline.unet, [".attn", ".ff.", ".proj_", ".conv"]), layers(pipeline.text_encoder, [*TEXT, ".fc1", ".fc2"])
    found = [trained("lora_unet", name, shape, 3 if ".resnets." in name else 4) for name, shape in unet]
    return [*found, *(trained("lora_te", of_text(name), shape, 4) for name, shape in text)]


IN_RESNET = {"conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def first_names(unet, name):
    """The name of a layer in the UNet of the first implementation, which kohya's trainer has for XL."""
    parts = name.split(".")
    each = unet.config.layers_per_block + 1
    if parts[0] == "conv_in":
        return "input_blocks.0.0"
    if parts[0] == "conv_out":
        return "out.2"
    if parts[0].endswith("_embedding"):
        return dict(time_embedding="time_embed", add_embedding="label_emb.0")[parts[0]] + (".0" if parts[1] == "linear_1" else ".2")
    if parts[0] == "mid_block":
        kind, index, rest = parts[1], int(parts[2]), parts[3:]
        place = f"middle_block.{1 if kind == 'attentions' else 2 * index}"
    else:
        block, kind, index, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
        if kind == "downsamplers":
            return f"input_blocks.{1 + block * each + each - 1}.0.op"
        if parts[0] == "down_blocks":
            place = f"input_blocks.{1 + block * each + index}.{int(kind == 'attentions')}"
        elif kind == "upsamplers":
            place = f"output_blocks.{block * each + each - 1}.2.conv"
            return place
        else:
            place = f"output_blocks.{block * each + index}.{int(kind == 'attentions')}"
    if kind == "resnets":
        rest = [IN_RESNET[rest[0]]]
    return ".".join([place, *rest])


def kohya_xl(pipeline):
    wanted = [".attn", ".ff.", ".proj_in", ".proj_out", ".conv1", ".conv2", ".time_emb_proj", ".conv_shortcut", "downsamplers", "conv_in"]
    up = [(n, s) for n, s in layers(pipeline.unet, ["upsamplers"]) if hasattr(pipeline.unet.up_blocks[int(n.split(".")[1])], "attentions")]
    unet = [*layers(pipeline.unet, [*wanted, "conv_out", "_embedding.linear"]), *up]
    found = [trained("lora_unet", first_names(pipeline.unet, name), shape, 4) for name, shape in unet]
    for prefix, model in ("lora_te1", pipeline.text_encoder), ("lora_te2", pipeline.text_encoder_2):
        found += [trained(prefix, of_text(name), shape, 4) for name, shape in layers(model, [*TEXT, ".fc1", ".fc2"])]
    return found


def described(prefix, **config):
    return {f"{prefix}.{key}": value for key, value in config.items()}


UNET_CONFIG = dict(r=4, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
METADATA = {
    **described("unet", **UNET_CONFIG, alpha_pattern={"attn2.to_k": 6}),
    **described("text_encoder", r=4, lora_alpha=3, target_modules=["q_proj", "v_proj"], use_rslora=True),
}
A_B, DOWN_UP, KOHYA = [".lora_A.weight", ".lora_B.weight"], [".down.weight", ".up.weight"], [".lora_down.weight", ".lora_up.weight"]
# Name: model, its layers, endings of their keys, size of the waves, metadata, alpha.
FILES = {
    "peft": ("sd15", peft, A_B, 0.1, None, None),
    "peft_unet": ("sd15", peft_unet, A_B, 0.15, None, None),
    "described": ("sd15", peft, A_B, 0.2, METADATA, None),
    "every_layer": ("sd15", every_layer, A_B, 0.05, None, None),
    "processors": ("sd15", processors, DOWN_UP, 0.08, None, None),
    "down_up": ("sd15", down_up, DOWN_UP, 0.09, None, None),
    "kohya": ("sd15", kohya, KOHYA, 0.07, None, 2.0),
    "kohya_xl": ("sdxl", kohya_xl, KOHYA, 0.07, None, 2.0),
}

# File or files in order, what is done then, options of the call.
RUNS = [
    (["peft"], [], {}),
    (["described"], [], {}),
    (["every_layer"], [], {}),
    (["processors"], [], {}),
    (["down_up"], [], {}),
    (["kohya"], [], {}),
    (["kohya_xl"], [], {}),
    (["peft"], [], dict(scale=0.5)),
    (["kohya", "peft_unet"], [], {}),
    (["kohya", "peft_unet"], [["set_adapters", ["kohya", "peft_unet"], [0.7, -0.4]]], {}),
    (["kohya", "peft_unet"], [["set_adapters", ["kohya", "peft_unet"], [0.7, -0.4]]], dict(scale=0.5)),
    (["kohya", "peft_unet"], [["set_adapters", "kohya", 0.5]], {}),
    (["kohya", "peft_unet"], [["set_adapters", ["kohya"], [{"unet": 0.3, "text_encoder": 2.0}]]], {}),
    (["kohya", "peft_unet"], [["set_adapters", ["kohya", "peft_unet"], None], ["delete_adapters", "kohya"]], {}),
    (["kohya"], [["disable_lora"]], {}),
    (["kohya"], [["disable_lora"], ["enable_lora"]], {}),
    (["kohya"], [["fuse_lora", {"lora_scale": 0.7}]], {}),
    (["kohya"], [["fuse_lora", {"lora_scale": 0.7}]], dict(scale=0.5)),
    (["kohya"], [["fuse_lora", {"lora_scale": 0.7}], ["unload_lora_weights"]], {}),
    (["kohya"], [["fuse_lora", {"lora_scale": 1.0, "components": ["unet"]}], ["unfuse_lora"]], {}),
    (["kohya"], [["unload_lora_weights"]], {}),
]
CLASSES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}


def load(model):
    options = dict(safety_checker=None) if model == "sd15" else {}
    pipeline = CLASSES[model].from_pretrained(MODELS / model, **options)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


files, runs = {}, []
with tempfile.TemporaryDirectory() as folder:
    for name, (model, make, endings, size, metadata, alpha) in FILES.items():
        made = make(load(model))
        tensors = {}
        for layer, rank, shape in made:
            shapes = pair(*(layer + ending for ending in endings), shape, rank)
            tensors |= {key: value(key, shape, size) for key, shape in shapes.items()}
            if alpha:
                tensors[f"{layer}.alpha"] = torch.tensor(alpha)
        header = {"format": "pt", **({"lora_adapter_metadata": json.dumps(metadata)} if metadata else {})}
        save_file(tensors, Path(folder) / f"{name}.safetensors", header)
        files[name] = dict(model=model, endings=endings, size=size, alpha=alpha, metadata=header, layers=made)
    for loaded, steps, options in RUNS:
        pipeline = load(files[loaded[0]]["model"])
        active = []
        for name in loaded:
            pipeline.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name)
            active.append(pipeline.get_active_adapters())
        for method, *arguments in steps:
            if arguments and isinstance(arguments[-1], dict):
                getattr(pipeline, method)(**arguments[-1])
            else:
                getattr(pipeline, method)(*json.loads(json.dumps(arguments)))
        call = dict(num_inference_steps=3, output_type="latent", height=32, width=48, generator=torch.Generator().manual_seed(8))
        if "scale" in options:
            call["cross_attention_kwargs"] = options
        latents = pipeline("a photo of a cat", **call).images
        case = dict(loaded=loaded, steps=steps, options=options, active=[*active, pipeline.get_active_adapters()])
        values = [round(v, 6) for v in latents.flatten().tolist()]
        runs.append(dict(**case, adapters=pipeline.get_list_adapters(), shape=list(latents.shape), latents=values))
        print(json.dumps({**case, "first": values[:2]}))
lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
made = ",\n".join(f"    {json.dumps(name)}: {json.dumps(file)}" for name, file in files.items())
OUT.write_text(f'{{\n  "files": {{\n{made}\n  }},\n  "runs": [\n{lines}\n  ]\n}}\n')
