"""Makes test/fixtures/pipelines/unclip.json: what diffusers draws by embeddings of pictures with tiny models, StableDiffusionImageVariationPipeline,
StableUnCLIPImg2ImgPipeline and StableUnCLIPPipeline. Weights of the image encoder, the prior, its text encoder and unCLIP's UNet are made from
their keys and not stored (made_weights.py), all else is of the tests' repositories. Run from the project's root with diffusers 0.42.1,
transformers 5.24.0 (without torchvision, so that pictures go by Pillow), torch 2.13.0 and Pillow:

    python scripts/make_unclip.py
"""
import copy
import json
from pathlib import Path

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    PriorTransformer,
    StableDiffusionImageVariationPipeline,
    StableUnCLIPImg2ImgPipeline,
    StableUnCLIPPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from made_pictures import picture
from made_weights import made, uniform

REPOS = Path("test/fixtures/models/repos")
OUT = Path("test/fixtures/pipelines/unclip.json")
WIDTH = 32
VISION = dict(
    hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=30, patch_size=10, projection_dim=WIDTH
)
TEXT = dict(
    hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, projection_dim=WIDTH, vocab_size=2514, hidden_act="gelu", bos_token_id=0, eos_token_id=2
)
PRIOR = dict(num_attention_heads=2, attention_head_dim=12, num_layers=2, embedding_dim=WIDTH)
UNET = dict(
    json.loads((REPOS / "sd21/unet/config.json").read_text()),
    class_embed_type="projection",
    projection_class_embeddings_input_dim=2 * WIDTH,
)
NOISING = dict(_class_name="DDPMScheduler", beta_schedule="squaredcos_cap_v2")
PRIOR_SCHEDULER = dict(_class_name="UnCLIPScheduler", prediction_type="sample", clip_sample_range=5.0)

IMAGES = {
    "37x30": lambda: picture(37, 30),
    "grey": lambda: picture(24, 40, 1),
    "one": lambda: [picture(24, 40)],
    "two": lambda: [picture(37, 30), picture(24, 40)],
    "tensor": lambda: torch.linspace(-2, 2, 3 * 30 * 30).reshape(1, 3, 30, 30),
    "none": lambda: None,
}
CAT, DOG = "a photo of a cat", "a dog, oil on canvas"
SIZE = dict(height=16, width=24)
VARIATION, FROM_PICTURE, FROM_TEXT = "variation", "img2img", "text"
PNDM, DDIM, EULER, DDPM = (f"{each}Scheduler" for each in ("PNDM", "DDIM", "EulerDiscrete", "DDPM"))
# Kind, scheduler, picture, options; "given" are tensors of test/support/unclip.ts.
CASES = [
    (VARIATION, PNDM, "37x30", dict(num_inference_steps=4)),
    (VARIATION, DDIM, "tensor", dict(guidance_scale=1.0, eta=0.5, height=24, width=16)),
    (VARIATION, DDIM, "two", dict(num_images_per_prompt=2, seeds=[8, 9, 10, 11])),
    (VARIATION, DDIM, "two", dict(output_type="np", safe=True)),
    (FROM_PICTURE, DDIM, "37x30", dict(prompt=CAT, negative_prompt="blurry", noise_level=400, eta=0.5)),
    (FROM_PICTURE, DDIM, "grey", dict(prompt=CAT, noise_level=999, guidance_scale=1.0)),
    (FROM_PICTURE, DDIM, "two", dict(prompt=[CAT, DOG], num_images_per_prompt=2, seeds=[8, 9, 10, 11], noise_level=100)),
    (FROM_PICTURE, DDIM, "37x30", dict(prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], noise_level=50)),
    (FROM_PICTURE, DDIM, "two", dict(num_images_per_prompt=1, noise_level=10)),
    (FROM_PICTURE, DDIM, "one", dict(prompt=[CAT, DOG], guidance_scale=0.5)),
    (FROM_PICTURE, EULER, "37x30", dict(prompt=CAT, given=["latents"])),
    (FROM_PICTURE, "EulerAncestralDiscreteScheduler", "none", dict(given=["image_embeds", "prompt_embeds", "negative_prompt_embeds"], num_images_per_prompt=2, noise_level=77)),
    (FROM_PICTURE, PNDM, "37x30", dict(prompt=CAT, num_inference_steps=4, callback_steps=2)),
    (FROM_PICTURE, "HeunDiscreteScheduler", "37x30", dict(prompt=CAT, callback_steps=1)),
    (FROM_TEXT, DDIM, "none", dict(prompt=CAT, prior_guidance_scale=1.0, guidance_scale=1.0, noise_level=300)),
    (FROM_TEXT, DDIM, "none", dict(prompt=[CAT, DOG], negative_prompt=["blurry", "ugly"], num_images_per_prompt=2, seeds=[8, 9, 10, 11])),
    (FROM_TEXT, PNDM, "none", dict(prompt=DOG, num_inference_steps=4, prior_num_inference_steps=5, callback_steps=2)),
    (FROM_TEXT, EULER, "none", dict(prompt=CAT, given=["latents", "prior_latents"], prior_scheduler=DDPM, prior_guidance_scale=2.0)),
]
HALF = [
    (FROM_PICTURE, DDIM, "37x30", dict(prompt=CAT, noise_level=100, guidance_scale=2.0)),
    (FROM_TEXT, DDIM, "none", dict(prompt=CAT, guidance_scale=2.0)),
]
PRIORS = [
    {},
    dict(norm_in_type="layer", embedding_proj_norm_type="layer", time_embed_act_fn="gelu", time_embed_dim=40, clip_embed_dim=20),
    dict(encoder_hid_proj_type=None, added_emb_type=None, num_embeddings=1, additional_embeddings=2),
]


def with_made_weights(model):
    state = {key: made(key, list(value.shape)) if value.is_floating_point() else value for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def normalizer():
    model = StableUnCLIPImageNormalizer(WIDTH)
    values = lambda key: torch.tensor(uniform(key, WIDTH), dtype=torch.float32)[None]
    model.load_state_dict(dict(mean=0.2 * values("mean"), std=0.5 + 0.3 * values("std")))
    return model.eval()


def parts_of(kind):
    if kind == VARIATION:
        return dict(
            vae=AutoencoderKL.from_pretrained(REPOS / "sd15/vae"),
            image_encoder=with_made_weights(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION))),
            unet=UNet2DConditionModel.from_pretrained(REPOS / "sd15/unet"),
            scheduler=diffusers.PNDMScheduler.from_pretrained(REPOS / "sd15/scheduler"),
            safety_checker=None,
            feature_extractor=CLIPImageProcessor.from_pretrained(REPOS / "sd15-safe/feature_extractor"),
            requires_safety_checker=False,
        )
    tokenizer = CLIPTokenizer.from_pretrained(REPOS / "sd21/tokenizer")
    own = dict(
        feature_extractor=CLIPImageProcessor.from_pretrained(REPOS / "sd15-safe/feature_extractor"),
        image_encoder=with_made_weights(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION))),
    ) if kind == FROM_PICTURE else dict(
        prior_tokenizer=tokenizer,
        prior_text_encoder=with_made_weights(CLIPTextModelWithProjection(CLIPTextConfig(**TEXT))),
        prior=with_made_weights(PriorTransformer(**PRIOR)),
        prior_scheduler=UnCLIPScheduler.from_config(PRIOR_SCHEDULER),
    )
    return dict(
        **own,
        image_normalizer=normalizer(),
        image_noising_scheduler=DDPMScheduler.from_config(NOISING),
        tokenizer=tokenizer,
        text_encoder=CLIPTextModel.from_pretrained(REPOS / "sd21/text_encoder"),
        unet=with_made_weights(UNet2DConditionModel.from_config(UNET)),
        scheduler=diffusers.DDIMScheduler.from_pretrained(REPOS / "sd21/scheduler"),
        vae=AutoencoderKL.from_pretrained(REPOS / "sd21/vae"),
    )


CLASSES = {VARIATION: StableDiffusionImageVariationPipeline, FROM_PICTURE: StableUnCLIPImg2ImgPipeline, FROM_TEXT: StableUnCLIPPipeline}


def load(kind):
    pipeline = CLASSES[kind](**parts_of(kind))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def given(pipeline, names, dtype=torch.float32):
    """Of any origin, as test/support/unclip.ts makes them."""
    ramp = lambda low, high, *shape: torch.linspace(low, high, torch.Size(shape).numel()).reshape(shape).to(dtype)
    made_of = dict(
        latents=lambda: ramp(-2, 2, 1, 4, *(SIZE[side] // pipeline.vae_scale_factor for side in ("height", "width"))),
        prior_latents=lambda: ramp(-1, 1, 1, WIDTH),
        image_embeds=lambda: ramp(-1, 1, 1, WIDTH),
        prompt_embeds=lambda: ramp(-1, 1, 1, 77, 40),
        negative_prompt_embeds=lambda: ramp(1, -1, 1, 77, 40),
    )
    return {name: made_of[name]() for name in names}


def draw(pipeline, scheduler, image, options, dtype=torch.float32):
    options = dict(options)
    kept = {name: part for name, part in pipeline.components.items() if "scheduler" in name or name == "safety_checker"}
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    if "prior_scheduler" in options:
        pipeline.prior_scheduler = getattr(diffusers, options.pop("prior_scheduler")).from_config(pipeline.prior_scheduler.config)
    if options.pop("safe", False):
        pipeline.safety_checker = StableDiffusionSafetyChecker.from_pretrained(REPOS / "sd15-safe/safety_checker")
    seeds = options.pop("seeds", None)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or [8]]
    call = dict(SIZE, num_inference_steps=3, output_type="latent", generator=generators if seeds else generators[0])
    if isinstance(pipeline, StableUnCLIPPipeline):
        call["prior_num_inference_steps"] = 3
    else:
        call["image"] = IMAGES[image]()
    call |= given(pipeline, options.pop("given", []), dtype)
    calls = []
    if "callback_steps" in options:
        call["callback"] = lambda i, t, x: calls.append([i, float(t), list(x.shape)])
    output = pipeline(**{**call, **options})
    for name, part in kept.items():
        setattr(pipeline, name, part)
    flags = getattr(output, "nsfw_content_detected", None)
    return dict(images=torch.as_tensor(output.images), **({"calls": calls} if calls else {}), **({"flags": flags} if flags else {}))


def of_prior(config):
    """What a prior makes of numbers of any origin: of two texts, of which the second is short, or of nothing but a point."""
    config = dict(PRIOR, **config)
    model = with_made_weights(PriorTransformer(**config))
    ramp = lambda *shape: torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
    seen = {}
    if model.encoder_hidden_states_proj is not None:
        mask = torch.ones(2, 77, dtype=torch.bool)
        mask[1, 9:] = False
        seen = dict(encoder_hidden_states=ramp(2, 77, WIDTH), attention_mask=mask)
    with torch.no_grad():
        output = model(ramp(2, WIDTH), 7, ramp(2, WIDTH).flip(0), **seen).predicted_image_embedding
    after = model.post_process_latents(output).detach() if output.ndim == 2 else output
    return dict(config=config, shape=list(output.shape), output=numbers(output), processed=numbers(after))


def numbers(tensor, digits=6):
    return [round(v, digits) for v in tensor.flatten().tolist()]


if __name__ == "__main__":
    runs, half = [], []
    for kind in CLASSES:
        pipeline = load(kind)
        for each, scheduler, image, options in CASES:
            if each != kind:
                continue
            result = draw(pipeline, scheduler, image, options)
            images = result.pop("images")
            case = dict(kind=kind, scheduler=scheduler, image=image, options=options, **result, shape=list(images.shape))
            print(json.dumps(case), numbers(images)[:3], f"std {images.std():.3f}")
            runs.append(dict(case, images=numbers(images, 3 if options.get("output_type") == "np" else 6)))
        pipeline.to(torch.float16)
        for each, scheduler, image, options in HALF:
            if each == kind:
                images = draw(pipeline, scheduler, image, options, torch.float16)["images"].float()
                print("half", kind, numbers(images)[:3])
                half.append(dict(kind=kind, scheduler=scheduler, image=image, options=options, images=numbers(images, 4)))
    vision = with_made_weights(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)))
    text = with_made_weights(CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)))
    model = normalizer()
    configs = dict(
        unet=UNET,
        noising=NOISING,
        prior=PRIOR,
        prior_scheduler=PRIOR_SCHEDULER,
        image_encoder=VISION,
        prior_text_encoder=TEXT,
        normalizer=dict(mean=model.mean[0].tolist(), std=model.std[0].tolist()),
        priors=[of_prior(each) for each in PRIORS],
        half=half,
    )
    lines = ",\n".join(f"    {json.dumps(run)}" for run in runs)
    OUT.write_text(f'{{\n  {json.dumps(configs)[1:-1]},\n  "runs": [\n{lines}\n  ]\n}}\n')
