"""Loads what webgpu-diffusers saved or cached, and compares it with the original. Called by test/interchange/main_node.ts."""

import json
import re
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
import transformers
from huggingface_hub import scan_cache_dir, snapshot_download

def class_named(name):
    of_pipelines = diffusers.pipelines.stable_diffusion
    return getattr(diffusers, name, None) or getattr(transformers, name, None) or getattr(of_pipelines, name)


def is_transformers(cls):
    return issubclass(cls, transformers.PreTrainedModel)


def same_tensors(what, actual, expected, dtype=None):
    """Equal to the last bit, after the conversion that was asked for."""
    assert actual.keys() == expected.keys(), f"{what}: keys differ: {sorted(actual.keys() ^ expected.keys())}"
    for key, tensor in expected.items():
        wanted = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        assert actual[key].dtype == wanted.dtype, f"{what}: {key} is {actual[key].dtype}, not {wanted.dtype}"
        assert torch.equal(actual[key], wanted), f"{what}: {key} differs"


def load_model(cls, path, variant, dtype):
    named = "dtype" if is_transformers(cls) else "torch_dtype"
    model, info = cls.from_pretrained(
        path, variant=variant, use_safetensors=True, output_loading_info=True, **{named: dtype}
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        left = [key for key in info[kind] if not str(key).endswith("position_ids")]
        assert not left, f"{path}: {kind}: {left}"
    return model.state_dict()


def model(job):
    cls = class_named(job["class"])
    dtype = getattr(torch, job["dtype"])
    saved = load_model(cls, job["saved"], job["savedVariant"], dtype)
    original = load_model(cls, job["original"], job["originalVariant"], torch.float32)
    same_tensors(job["saved"], saved, original, dtype)
    if not is_transformers(cls):
        same_bytes(job, cls.from_pretrained(job["original"], variant=job["originalVariant"]).to(dtype))


def same_bytes(job, python_model):
    """What Python writes for the same model is the same, file by file. (transformers 5 leaves out the prefix text_model.)"""
    saved = Path(job["saved"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {"max_shard_size": "150KB"} if job["savedVariant"] else {}
        python_model.save_pretrained(folder, variant=job["savedVariant"], **sizes)
        files = {path.name for path in folder.iterdir()}
        ours = {path.name for path in saved.iterdir() if ("half" in path.name) == bool(job["savedVariant"])}
        assert files == ours | {"config.json"}, f"{saved}: {sorted(ours)}, Python has {sorted(files)}"
        for path in folder.iterdir():
            a, b = path.read_bytes(), (saved / path.name).read_bytes()
            if path.name == "config.json":
                a, b = (re.sub(rb' *"_name_or_path".*\n', b"", text) for text in (a, b))
            assert a == b, f"{saved / path.name}: the bytes are not Python's"


def public(config):
    return {key: value for key, value in config.items() if not key.startswith("_")}


def same_pipelines(what, saved, original):
    assert type(saved) is type(original), f"{what}: {type(saved)}, not {type(original)}"
    assert saved.components.keys() == original.components.keys()
    for name, component in original.components.items():
        other = saved.components[name]
        if hasattr(component, "state_dict"):
            same_tensors(f"{what} {name}", other.state_dict(), component.state_dict())
        elif hasattr(component, "timesteps"):
            assert public(other.config) == public(component.config), f"{what} {name}: config differs"
        elif component is not None and hasattr(component, "encode"):
            for text in ("a photograph of an astronaut", "", "A cat (sitting) on 2 mats!"):
                assert other.encode(text) == component.encode(text), f"{what} {name}: {text!r}"


def load_pipeline(source, **options):
    return diffusers.DiffusionPipeline.from_pretrained(source, use_safetensors=True, **options)


def pipeline(job):
    same_pipelines(job["saved"], load_pipeline(job["saved"]), load_pipeline(job["original"]))


def words(job):
    ours, theirs = load_pipeline(job["saved"]), load_pipeline(job["original"])
    theirs.load_textual_inversion(job["embedding"])
    same_pipelines(job["saved"], ours, theirs)
    assert ours.text_encoder.config.vocab_size == theirs.text_encoder.config.vocab_size
    same_words(job["saved"], ours.tokenizer, theirs.tokenizer)
    theirs.save_pretrained(job["theirs"])
    for i, source in enumerate(job["tokenizers"]):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(source)
        tokenizer.add_tokens(job["words"])
        saved = f"{job['folder']}/tokenizer-{i}"
        same_words(saved, transformers.CLIPTokenizer.from_pretrained(saved), tokenizer)


def same_words(what, actual, expected):
    assert {i: repr(token) for i, token in actual.added_tokens_decoder.items()} == {
        i: repr(token) for i, token in expected.added_tokens_decoder.items()
    }, f"{what}: {actual.added_tokens_decoder}, not {expected.added_tokens_decoder}"
    assert len(actual) == len(expected)
    for text in ("a <cat>s, <CAT>_1 <cat>_2x", "<DOG>ÉX\u65e5\u672c a cat spaced \u00a0<|endoftext|>"):
        assert actual.encode(text) == expected.encode(text), f"{what}: {text!r}"


def cache(job):
    """HF_HUB_OFFLINE is set."""
    same_pipelines(job["id"], load_pipeline(job["id"]), load_pipeline(job["original"]))
    check_cache(job["id"])


def download(job):
    snapshot_download(job["id"])
    check_cache(job["id"])


def check_cache(repo_id):
    info = scan_cache_dir()
    assert not info.warnings, f"scan_cache_dir: {[str(warning) for warning in info.warnings]}"
    assert repo_id in {repo.repo_id for repo in info.repos}


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        {"model": model, "pipeline": pipeline, "cache": cache, "download": download, "words": words}[job["kind"]](job)
        print("ok", *(job.get(key) or "" for key in ("kind", "class", "id", "saved", "savedVariant")))
    print(f"{len(jobs)} equal")
