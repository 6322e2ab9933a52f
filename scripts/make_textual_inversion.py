"""Makes test/fixtures/pipelines/textual_inversion.json: what diffusers does with embeddings of textual inversion and the tiny models of the
tests, and how transformers finds added tokens in texts. The embeddings are those of test/support/textual_inversion.ts. Run from the
project's root with diffusers 0.42.1, transformers 5.24.0 and torch 2.13.0:

    python scripts/make_textual_inversion.py
"""
import json
import math
import random
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from made_weights import uniform
from transformers import AddedToken, CLIPTokenizer

MODELS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/textual_inversion.json")
CLASSES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
PARTS = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")]


def tensor(name, *shape):
    """A source that is a tensor, of the numbers of `name`."""
    return {"tensor": name, "shape": list(shape)}


def named(name, *shape, key=None):
    """A source that is a dictionary of one tensor by its token, or the file of one."""
    return {"key": key or name, **tensor(name, *shape)}


def load(*sources, token=None, part=0):
    return {"load": list(sources), "token": token, "part": part}


def unload(*tokens, part=0):
    return {"unload": list(tokens) or None, "part": part}


def source(made):
    numbers = torch.from_numpy(uniform(made["tensor"], math.prod(made["shape"])).astype("float32")).reshape(made["shape"])
    return {made["key"]: numbers} if "key" in made else numbers


# Model, steps, arguments of the call.
CAT, CAT3, CAT24, DOG = named("<cat>", 32), named("<cat>", 3, 32), named("<cat>", 2, 24), named("<dog>", 2, 32)
S0_S1 = ["<s0>", "<s1>"]
RUNS = [
    ("sd15", [load(CAT)], dict(prompt="a photo of <cat>")),
    ("sd15", [load(CAT3)], dict(prompt="a <cat>, <CAT> on red", negative_prompt="blue <cat> dog")),
    ("sd15", [load(tensor("a", 32), named("b", 2, 32), token=["<a>", "<b>"])], dict(prompt="<a>s and <b>", negative_prompt="<a>")),
    ("sd15", [load(tensor("s", 2, 32), token=S0_S1)], dict(prompt="a <s0><s1> cat")),
    ("sd15", [load(named("turn", 2, 32, key="emb_params"), token="charturnerv2")], dict(prompt="charturnerv2, a cat")),
    ("sd15", [load(named("<Dog>", 2, 32))], dict(prompt="a <Dog> and a <dog>")),
    ("sd15", [load(CAT3), load(DOG, CAT | {"key": "<x>"}), unload("<cat>", "<x>")], dict(prompt="<cat> <dog> <x>", negative_prompt="<cat>_1 <cat>_2")),
    ("sd15", [load(CAT3, DOG), unload("<cat>_1", "<cat>_2"), load(named("<new>", 2, 32))], dict(prompt="<cat> <dog> <new>")),
    ("sd15", [load(CAT3), unload(), load(DOG)], dict(prompt="a <cat> and a <dog>")),
    ("sd15", [load(CAT3), unload()], dict(prompt="a photo of <cat>")),
    (
        "sdxl",
        [load(tensor("l", 2, 24), token=S0_S1), load(tensor("g", 2, 32), token=S0_S1, part=1)],
        dict(prompt="a <s0><s1> cat", negative_prompt="<s1>"),
    ),
    (
        "sdxl",
        [load(CAT24), load(CAT3, part=1), load(named("<dog>", 2, 24))],
        dict(prompt="a <cat> and <dog>", prompt_2="<cat> <dog>", negative_prompt="<dog>", negative_prompt_2="red <cat>"),
    ),
    (
        "sdxl",
        [load(CAT24), load(CAT3, part=1), unload(), unload("<cat>", part=1)],
        dict(prompt="a <cat>", negative_prompt="<cat>_1"),
    ),
]

# Steps of which the last is refused.
REFUSED = [
    [load(tensor("t", 32))],
    [load(CAT), load(CAT)],
    [load(CAT3), load(named("<cat>_1", 32))],
    [load(named("<x>_1", 32)), load(named("<x>", 32))],
    [load(named("cat</w>", 32))],
    [load(named("<x>", 33))],
    [load(tensor("t", 48), token="<x>")],
    [load(tensor("t", 32), tensor("u", 32), token=["<x>"])],
    [load(tensor("t", 32), tensor("u", 32), token="<x>")],
    [load(tensor("t", 32), tensor("u", 32), token=["<x>", "<x>"])],
    [load(tensor("t", 2, 32), token=["<x>", "<y>", "<z>"])],
    [load(tensor("t", 0, 32), token="<x>")],
    [unload("<x>")],
    [load(CAT), unload("<CAT>")],
]


def act(pipeline, step):
    encoder, tokenizer = (getattr(pipeline, name) for name in PARTS[step["part"]])
    if "load" in step:
        sources = [source(made) for made in step["load"]]
        pipeline.load_textual_inversion(
            sources if len(sources) > 1 else sources[0], token=step["token"], text_encoder=encoder, tokenizer=tokenizer
        )
    else:
        pipeline.unload_textual_inversion(step["unload"], text_encoder=encoder, tokenizer=tokenizer)


def opened(model):
    pipeline = CLASSES[model].from_pretrained(MODELS / model)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def rounded(numbers):
    return [float(f"{number:.6g}") for number in numbers.flatten().tolist()]


def run(model, steps, call):
    pipeline = opened(model)
    for step in steps:
        act(pipeline, step)
    parts = [(getattr(pipeline, encoder), getattr(pipeline, tokenizer)) for encoder, tokenizer in PARTS if hasattr(pipeline, encoder)]
    texts = [text for name, text in call.items() if "prompt" in name]
    latents = pipeline(
        **call, num_inference_steps=3, height=32, width=48, output_type="latent", generator=torch.Generator().manual_seed(8)
    ).images
    first, tokenizer = parts[0]
    with torch.no_grad():
        ids = tokenizer([pipeline.maybe_convert_prompt(texts[0], tokenizer)], return_tensors="pt").input_ids
        states = first(ids).last_hidden_state
    return {
        "model": model,
        "steps": steps,
        "call": call,
        "tokens": [tokenizer.added_tokens_encoder for _, tokenizer in parts],
        "rows": [encoder.get_input_embeddings().weight.shape[0] for encoder, _ in parts],
        "converted": [[pipeline.maybe_convert_prompt(text, tokenizer) for text in texts] for _, tokenizer in parts],
        "ids": ids.tolist(),
        "states": rounded(states),
        "shape": list(latents.shape),
        "latents": rounded(latents),
    }


def refusal(steps):
    pipeline = opened("sd15")
    for step in steps[:-1]:
        act(pipeline, step)
    try:
        act(pipeline, steps[-1])
    except (ValueError, IndexError) as error:
        return {"steps": steps, "error": str(error).split("\n")[0]}
    raise AssertionError(f"not refused: {steps}")


WORDS = ["a", "cat", "DOG", "photo of", "<", ">", "it's", ",", "!?", "😀", "日本語", "Straße", "ΟΔΟΣ", "\u0301", "\u200b", "_", "_1", "<|endoftext|>", "\n"]
# Added tokens, whole and as AddedToken.
ADDED = [
    ["<cat>", "<cat>_1", "<cat>_2", "<cat>x"],
    ["<Dog>", "<Dog>_1", "sks", "a b", " spaced "],
    ["Éx", "Éx_1", "日本", "İ", "ΑΣ", "🙂", "$&", "$&_1", "(x)", "[y]"],
    ["cat</w>", "cat</w>_1", "1", "'s", "cat", ""],
    [
        dict(content="<l>", lstrip=True, normalized=False),
        dict(content="<r>", rstrip=True),
        dict(content="<w>", single_word=True),
        dict(content="<w>x"),
        dict(content="<sp>", special=True),
        "<l>_1",
    ],
]


def tokenised(added, rng):
    tokenizer = CLIPTokenizer.from_pretrained(MODELS / "sd15" / "tokenizer")
    count = tokenizer.add_tokens([AddedToken(**token) if isinstance(token, dict) else token for token in added])
    names = [token["content"] if isinstance(token, dict) else token for token in added]
    texts = []
    for _ in range(24):
        words = [rng.choice(names) if rng.random() < 0.5 else rng.choice(WORDS) for _ in range(rng.randint(1, 7))]
        words = [word.upper() if rng.random() < 0.15 else word for word in words]
        texts.append("".join(word + rng.choice(["", " ", " ", "  ", ", "]) for word in words))
    convert = StableDiffusionPipeline.maybe_convert_prompt
    mixin = type("Mixin", (), {"_maybe_convert_prompt": StableDiffusionPipeline._maybe_convert_prompt})()
    return {
        "added": added,
        "count": count,
        "length": len(tokenizer),
        "encoder": tokenizer.added_tokens_encoder,
        "cases": [
            {"text": t, "ids": tokenizer(t).input_ids, "tokens": tokenizer.tokenize(t), "converted": convert(mixin, t, tokenizer)}
            for t in texts
        ],
    }


def main():
    rng = random.Random(8)
    made = {
        "tokenised": [tokenised(added, rng) for added in ADDED],
        "runs": [run(*each) for each in RUNS],
        "refused": [refusal(steps) for steps in REFUSED],
    }
    OUT.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
