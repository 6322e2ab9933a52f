"""Makes test/fixtures/models/repos/sd15-safe (a safety checker and a feature extractor for the tiny model of the tests),
test/fixtures/models/gold/safety/checker.safetensors.gz (what it computes) and test/fixtures/pipelines/safety.json (what it finds, which
pictures of pipelines it paints black, and what CLIPImageProcessor makes of pictures). Run from the project's root with diffusers 0.42.1,
transformers 5.24.0 (without torchvision, so that pictures go by Pillow), torch 2.13.0 and Pillow:

    python scripts/make_safety.py
"""
import copy
import gzip
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import load_file, save, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from made_pictures import mask_picture, picture

MODELS = Path("test/fixtures/models/repos")
SAFE = MODELS / "sd15-safe"
GOLD = Path("test/fixtures/models/gold/safety/checker.safetensors.gz")
OUT = Path("test/fixtures/pipelines/safety.json")
SIDE = 30
# Patches of 7 do not tile 30 pixels: the last two rows and columns are in none.
VISION = dict(hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, image_size=SIDE, patch_size=7)
# As the published files have it: by transformers 4, with what the maker said once more.
PROCESSOR = {
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPFeatureExtractor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": SIDE},
    "use_square_size": False,
}
PAIR = ["a photo of a cat", "a dog"]
CASES = [
    ("StableDiffusionPipeline", dict(prompt=PAIR, output_type="np")),
    ("StableDiffusionPipeline", dict(prompt=PAIR, output_type="pt")),
    ("StableDiffusionPipeline", dict(prompt=PAIR, output_type="pil")),
    ("StableDiffusionPipeline", dict(prompt=PAIR, output_type="latent")),
    ("StableDiffusionPipeline", dict(prompt="a photo of a cat", output_type="np", num_images_per_prompt=3)),
    ("StableDiffusionImg2ImgPipeline", dict(prompt=PAIR, image="24x16", output_type="pil")),
    ("StableDiffusionInpaintPipeline", dict(prompt="a dog", image="40x32", mask="40x32", padding_mask_crop=2, output_type="pil")),
    ("StableDiffusionInpaintPipeline", dict(prompt="a photo of a cat", image="40x32", mask="40x32", padding_mask_crop=2, output_type="pil")),
    ("StableDiffusionControlNetPipeline", dict(prompt=PAIR, image="24x16", output_type="np")),
]
IMAGES = {"24x16": lambda: picture(24, 16), "40x32": lambda: picture(40, 32)}
PICTURES = [((24, 16), 3), ((29, 21), 3), ((64, 48), 3), ((16, 24), 3), ((30, 30), 3), ((64, 64), 1), ((37, 30), 4)]
FORMS = [
    {},
    dict(size=SIDE, crop_size=SIDE),
    dict(size={"height": 20, "width": 24}, crop_size={"height": 18, "width": 21}),
    dict(size=22, crop_size={"height": 26, "width": 25}),
    dict(do_resize=False, resample=1, crop_size=12),
    dict(do_rescale=False, do_normalize=False, resample=1, size=21),
    dict(do_normalize=False, rescale_factor=0.5, size=21),
]


def made_checker():
    torch.manual_seed(0)
    # The projections of both configs are of other widths, as they may be: the checker's own counts.
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=dict(VISION, projection_dim=24), projection_dim=16)).eval()
    for name, parameter in checker.named_parameters():
        if parameter.ndim >= 2 and "position" not in name:
            parameter.data = torch.randn_like(parameter) * (1.5 / parameter[0].numel() ** 0.5)
        elif not name.endswith("norm.weight") and "layer_norm" not in name:
            parameter.data = torch.randn_like(parameter) * 0.3
    return checker


def parts_of_sd15():
    plain = StableDiffusionPipeline.from_pretrained(MODELS / "sd15", safety_checker=None)
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    return {name: plain.components[name] for name in names}


def draw(pipelines, name, options):
    options = dict(options)
    for key, argument in (("image", "image"), ("mask", "mask_image")):
        if key in options:
            size = options.pop(key)
            options[argument] = IMAGES[size]() if key == "image" else mask_picture(40, 32, (8, 6, 30, 26))
    if name in ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"):
        options.update(height=16, width=24)
    if isinstance(options["prompt"], list) and name == "StableDiffusionImg2ImgPipeline":
        options["image"] = [options["image"], picture(24, 16)]
    generator = torch.Generator().manual_seed(8)
    return pipelines[name](num_inference_steps=3, generator=generator, **options)


def pipelines_with(parts, **safety):
    net = ControlNetModel.from_pretrained(MODELS / "controlnet")
    result = {}
    for cls in (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionControlNetPipeline):
        more = dict(controlnet=net) if cls is StableDiffusionControlNetPipeline else {}
        result[cls.__name__] = cls(**parts, **more, **safety, requires_safety_checker=safety["safety_checker"] is not None)
        result[cls.__name__].set_progress_bar_config(disable=True)
    return result


def seen_pictures(parts):
    """All pictures that the checker sees in the cases."""
    seen = []

    class Looks(StableDiffusionSafetyChecker):
        def forward(self, clip_input, images):
            seen.append(clip_input)
            return images, [False] * len(images)

    checker = Looks(CLIPConfig(vision_config=VISION, projection_dim=16))
    processor = CLIPImageProcessor(**PROCESSOR)
    looking = pipelines_with(parts, safety_checker=checker, feature_extractor=processor)
    for name, options in CASES:
        draw(looking, name, options)
    return seen


@torch.no_grad()
def choose_concepts(checker, batches):
    """Concepts of which some are in some pictures, far enough from the thresholds, and special care that makes one more be so."""
    embeds = torch.cat([checker.visual_projection(checker.vision_model(batch)[1]) for batch in batches])
    unit = torch.nn.functional.normalize(embeds)
    mean = torch.nn.functional.normalize(unit.mean(0, keepdim=True))
    groups = np.split(np.arange(len(unit)), np.cumsum([len(batch) for batch in batches])[:-1])
    for seed in range(20000):
        torch.manual_seed(seed)
        raw = torch.randn(20, 16)
        raw = raw - raw @ mean.T * mean
        cos = unit @ torch.nn.functional.normalize(raw).T
        top = cos.max(0).values + 0.02
        order = cos.sort(0).values
        gaps = order[1:] - order[:-1]
        place = gaps.argmax(0)
        middle = torch.stack([(order[place[i], i] + order[place[i] + 1, i]) / 2 for i in range(20)])
        if gaps[place[0], 0] < 0.06 or gaps[place[18], 18] < 0.06:
            continue
        thresholds = top.clone()
        thresholds[[0, 18]] = middle[[0, 18]]
        cared = cos[:, 18] > middle[18]
        # Concept 7 is just below its threshold in those that get special care.
        best = torch.where(cared, cos[:, 7], torch.tensor(-2.0)).max()
        if torch.where(cared, torch.tensor(-2.0), cos[:, 7]).max() > best + 0.001:
            continue
        thresholds[7] = best + 0.005
        flags = (cos[:, 0] > middle[0]) | (cared & (cos[:, 7] + 0.01 > thresholds[7]))
        mixed = [bool(flags[g].any() and not flags[g].all()) for g in groups]
        ones = [bool(flags[g].any()) for g in groups if len(g) == 1]
        extra = cared & (cos[:, 7] + 0.01 > thresholds[7]) & (cos[:, 0] < middle[0])
        if not (mixed[0] and mixed[-1] and sum(mixed) >= 4 and extra.any() and any(ones) and not all(ones)):
            continue
        scores = torch.cat([cos - thresholds, cos + 0.01 - thresholds])
        if scores.abs().min() < 0.003:
            continue
        checker.concept_embeds.data, checker.special_care_embeds.data = raw[:17].clone(), raw[17:].clone()
        checker.concept_embeds_weights.data = thresholds[:17].clone()
        checker.special_care_embeds_weights.data = thresholds[17:].clone()
        return
    raise SystemExit("no concepts found")


def save_repository(checker):
    checker.save_pretrained(SAFE / "safety_checker")
    file = SAFE / "safety_checker/model.safetensors"
    # transformers 4 had a level more, and a table that nothing reads.
    tensors = {key.replace("vision_model.", "vision_model.vision_model.", 1): value for key, value in load_file(file).items()}
    tensors["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(tensors, file, metadata={"format": "pt"})
    config_file = SAFE / "safety_checker/config.json"
    config = json.loads(config_file.read_text())
    said = dict(VISION, projection_dim=24)
    config["vision_config"] = {**config["vision_config"], "temperature": 1.0, "num_beams": 1}
    config["vision_config_dict"] = said
    config["transformers_version"] = "4.22.0"
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    copy.deepcopy(checker).half().save_pretrained(SAFE / "safety_checker-tf5", variant="fp16")
    (SAFE / "feature_extractor").mkdir(exist_ok=True)
    (SAFE / "feature_extractor/preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2) + "\n")
    index = json.loads((MODELS / "sd15/model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    del index["requires_safety_checker"]
    (SAFE / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


@torch.no_grad()
def golden(checker, clip_input):
    vision = checker.vision_model(clip_input)
    images = [np.ones((2, 2, 3), dtype=np.float32) for _ in clip_input]
    _, flags = checker(clip_input=clip_input, images=images)
    tensors = {
        "in.clip_input": clip_input,
        "out.last_hidden_state": vision.last_hidden_state[:2],
        "out.pooler_output": vision.pooler_output,
        "out.image_embeds": checker.visual_projection(vision.pooler_output),
    }
    GOLD.parent.mkdir(parents=True, exist_ok=True)
    GOLD.write_bytes(gzip.compress(save({key: value.contiguous() for key, value in tensors.items()}), mtime=0))
    cosine = lambda a, b: torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T
    embeds = tensors["out.image_embeds"]
    special = cosine(embeds, checker.special_care_embeds) - checker.special_care_embeds_weights
    # What is found is looked for more closely from then on, of the special care, too.
    fires = (special > 0).int()
    special = special + (fires.cumsum(1) - fires > 0) * 0.01
    adjusted = fires.any(1, keepdim=True) * 0.01
    concepts = cosine(embeds, checker.concept_embeds) - checker.concept_embeds_weights + adjusted
    assert flags == ((concepts * 1000).round() > 0).any(1).tolist()
    rounded = [[round(v, 5) for v in row] for row in concepts.tolist()]
    return dict(flags=flags, special=[[round(v, 5) for v in row] for row in special.tolist()], concepts=rounded)


def rgba(width, height, channels):
    if channels != 4:
        return picture(width, height, channels)
    return Image.fromarray(np.asarray(picture(width, height, 4)), "RGBA")


def rows_first(image, size, resample, **_):
    """As Pillow did until version 13, which goes by columns first for some sizes, but for none of square pictures to square ones."""
    return plain_resize(plain_resize(image, (size[0], image.height), resample), size, resample)


def processed():
    large = CLIPImageProcessor()(picture(512, 512), return_tensors="pt").pixel_values
    Image.Image.resize = rows_first
    assert (large == CLIPImageProcessor()(picture(512, 512), return_tensors="pt").pixel_values).all()
    results = []
    for form in FORMS:
        processor = CLIPImageProcessor(**{**PROCESSOR, **form})
        for size, channels in PICTURES:
            values = processor(rgba(*size, channels), return_tensors="pt").pixel_values
            digest = hashlib.sha256(values.numpy().astype(np.float32).tobytes()).hexdigest()
            results.append(dict(form=form, size=size, channels=channels, shape=list(values.shape), sum=float(values.double().sum()), sha256=digest))
    return results


plain_resize = Image.Image.resize
warnings.filterwarnings("ignore")
parts = parts_of_sd15()
checker = made_checker()
batches = seen_pictures(parts)
choose_concepts(checker, batches)
save_repository(checker)
scores = golden(checker, torch.cat(batches)[:7])
safe = pipelines_with(parts, safety_checker=StableDiffusionSafetyChecker.from_pretrained(SAFE / "safety_checker"), feature_extractor=CLIPImageProcessor.from_pretrained(SAFE / "feature_extractor"))
runs = []
for name, options in CASES:
    output = draw(safe, name, options)
    images, flags = output.images, output.nsfw_content_detected
    if isinstance(images, list):
        images = np.stack([np.asarray(image).astype(np.float32) / 255 for image in images])
    images = torch.as_tensor(images)
    print(name, options, flags, list(images.shape))
    values = [round(v, 3) for v in images.flatten().tolist()]
    runs.append(dict(pipeline=name, options=options, flags=flags, shape=list(images.shape), images=values))
print(scores["flags"])
OUT.parent.mkdir(parents=True, exist_ok=True)
parts = dict(runs=runs, processed=processed())
lists = ",\n".join(f'  "{key}": [\n' + ",\n".join(f"    {json.dumps(each)}" for each in value) + "\n  ]" for key, value in parts.items())
OUT.write_text(f'{{\n  "scores": {json.dumps(scores)},\n{lists}\n}}\n')
