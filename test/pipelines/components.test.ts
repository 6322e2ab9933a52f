import { describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  AutoencoderTiny,
  DiffusionPipeline,
  Generator,
  StableDiffusionPipeline,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { differences, runGolden, type PipelineRun } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";

const repo = (name: string): string => fixturePath(`models/repos/${name}`);

/** As in fixtures/models/manifest.json. */
const TAESD: PipelineRun = {
  id: "pipe/sd15_taesd",
  file: "gold/pipe/sd15_taesd.safetensors",
  repo: "sd15",
  scheduler: "DDIMScheduler",
  scheduler_from_config: {},
  call: {
    prompt: "a photograph of an astronaut riding a horse on Mars, high resolution, high definition.",
    negative_prompt: "blurry, low quality",
    guidance_scale: 7.5,
    num_inference_steps: 5,
    output_type: "np",
  },
  seeds: [8],
  generator: "single",
  run: { sensitivity: { latents_max_abs: 5.2e-4, image_max_abs: 1.7e-4 } },
};

describe("components", () => {
  test("that are missing are named, also where there are none at all", () => {
    for (const none of [undefined, null, {}])
      expect(() => new StableDiffusionPipeline(none as never)).toThrow(
        "StableDiffusionPipeline: components vae, text_encoder, tokenizer, unet, scheduler are missing",
      );
  });

  test("an AutoencoderTiny decodes what diffusers decodes", async () => {
    const vae = await AutoencoderTiny.fromPretrained(repo("taesd"));
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(repo("sd15"), { vae });
    pipeline.setProgressBarConfig({ disable: true });
    const { result, latents, goldens } = await runGolden(pipeline, TAESD);
    expect(differences(latents, goldens.get("latents.4")!.data).worst).toBeLessThan(1e-3);
    expect(differences(result, goldens.get("image")!.data).worst).toBeLessThan(1e-3);
    pipeline.dispose();
  });

  test("the VAE works in tiles and slices through the pipeline", async () => {
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(repo("sd15"));
    pipeline.setProgressBarConfig({ disable: true });
    expect(pipeline.vae).toBeInstanceOf(AutoencoderKL);
    const options = { numInferenceSteps: 1, numImagesPerPrompt: 2, outputType: "np", width: 96, height: 64 } as const;
    const draw = async (): Promise<ArrayLike<number>> => {
      const { images } = await pipeline("a cat", { ...options, generator: new Generator("cpu").manualSeed(1) });
      const data = await images.data();
      images.dispose();
      return data;
    };
    const whole = await draw();
    pipeline.enableVaeSlicing();
    expect(differences(await draw(), whole).worst).toBeLessThan(1e-5);
    pipeline.enableVaeTiling();
    expect(differences(await draw(), whole).worst).toBeGreaterThan(1e-3); // another decoder pass per tile
    pipeline.disableVaeTiling();
    pipeline.disableVaeSlicing();
    expect(await draw()).toEqual(whole);
    pipeline.dispose();
  });

  test("a repository that has one variant only loads by it", async () => {
    const options = { variant: "bf16", dtype: "float16" } as const;
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(repo("flax-sd15"), options);
    expect([pipeline.unet.dtype, pipeline.scheduler.className]).toEqual(["float16", "PNDMScheduler"]);
    pipeline.dispose();
    await expect(DiffusionPipeline.fromPretrained(repo("flax-sd15"))).rejects.toThrow(
      /(vae|unet|text_encoder)\/\w*model\.safetensors.*: no such file/, // a folder names all of them, an address the first
    );
  });

  test("a component of a class that is not here is refused by name", async () => {
    const index = {
      _class_name: "StableDiffusionPipeline",
      scheduler: ["diffusers", "PNDMScheduler"],
      text_encoder: ["transformers", "T5EncoderModel"],
    };
    await expect(
      DiffusionPipeline.fromPretrained(await changed(repo("sd15"), { "model_index.json": index })),
    ).rejects.toThrow(/text_encoder is a transformers\.T5EncoderModel, which this version does not have\. Known: /);
  });
});
