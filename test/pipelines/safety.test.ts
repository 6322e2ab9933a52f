import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPImageProcessor,
  ControlNetModel,
  Generator,
  openRepository,
  StableDiffusionControlNetPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  StableDiffusionSafetyChecker,
  Tensor,
  type RawImage,
  type Repository,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { maskPicture, picture } from "../support/pictures.js";
import { camelCase } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

/** What scripts/make_safety.py wrote. */
interface Run {
  pipeline: string;
  options: Record<string, unknown>;
  flags: boolean[] | null;
  shape: number[];
  /** In [0, 1], or latents. */
  images: number[];
}
const { runs } = await readFixtureJSON<{ runs: Run[] }>("pipelines/safety.json");
const SAFE = fixturePath("models/repos/sd15-safe");
const FOUND =
  "Potential NSFW content was detected in one or more images. A black image will be returned instead." +
  " Try again with a different prompt and/or seed.";

type Call = (
  prompt: unknown,
  options: object,
) => Promise<{ images: RawImage[] | Tensor; nsfwContentDetected: boolean[] | null }>;

describe("the safety checker of a pipeline", () => {
  let plain: StableDiffusionPipeline;
  let safe: StableDiffusionPipeline;
  const pipelines: Record<string, Call> = {};
  beforeAll(async () => {
    const device = await testDevice();
    plain = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"), { device });
    const { vae, text_encoder, tokenizer, unet, scheduler } = plain;
    // A folder that has nothing but the two.
    safe = await StableDiffusionPipeline.fromPretrained(SAFE, {
      vae,
      text_encoder,
      tokenizer,
      unet,
      scheduler,
      device,
    });
    const controlnet = await ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), { device });
    const all = [
      safe,
      StableDiffusionImg2ImgPipeline.fromPipe(safe),
      StableDiffusionInpaintPipeline.fromPipe(safe),
      StableDiffusionControlNetPipeline.fromPipe(safe, { controlnet }),
    ];
    for (const each of all) {
      each.setProgressBarConfig({ disable: true });
      pipelines[each.className] = each as unknown as Call;
    }
  });
  afterAll(() =>
    (pipelines.StableDiffusionControlNetPipeline as unknown as StableDiffusionControlNetPipeline).dispose(),
  );

  const generator = (): Generator => new Generator("cpu").manualSeed(8);
  const few = () => ({ numInferenceSteps: 3, height: 16, width: 24, generator: generator() });

  for (const [i, { pipeline, options, flags, shape, images: wanted }] of runs.entries())
    test(`${i}: ${pipeline}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const { prompt, image, mask, ...given } = options;
      const named = Object.fromEntries(Object.entries(given).map(([name, value]) => [camelCase(name), value]));
      const [width, height] = String(image).split("x").map(Number);
      const first = picture(width || 24, height || 16);
      const { height: h, width: w, ...rest } = few();
      const isFromPicture = pipeline === "StableDiffusionImg2ImgPipeline";
      const call = {
        ...rest,
        ...(image === undefined || mask !== undefined ? { height: h, width: w } : {}),
        ...(image === undefined ? {} : { image: isFromPicture ? [first, picture(24, 16)] : first }),
        ...(mask === undefined ? {} : { maskImage: maskPicture(40, 32, [8, 6, 30, 26]) }),
        ...named,
      };
      let result: Awaited<ReturnType<Call>> | undefined;
      const said = await warnings(async () => void (result = await pipelines[pipeline](prompt, call)));
      const { images, nsfwContentDetected } = result!;
      expect(nsfwContentDetected).toEqual(flags);
      expect(said).toEqual(flags?.includes(true) ? [FOUND] : []);
      const [numbers, found] =
        images instanceof Tensor
          ? [await images.data(), images.shape]
          : [
              images.flatMap(({ data }) => Array.from(data, (v) => v / 255)),
              [images.length, images[0].height, images[0].width, images[0].channels],
            ];
      if (images instanceof Tensor) images.dispose();
      expect(found).toEqual(shape);
      const worst = wanted.reduce((most, value, j) => Math.max(most, Math.abs(value - numbers[j])), 0);
      expect(worst).toBeLessThan(flags ? 1 / 255 + 6e-4 : 2e-3);
      if (!flags || mask !== undefined) return;
      const size = numbers.length / flags.length;
      flags.forEach((flag, at) =>
        expect(
          Array.from(numbers)
            .slice(at * size, (at + 1) * size)
            .every((v) => v === 0),
        ).toBe(flag),
      );
    });

  test("a repository names both, and the pipeline has them", () => {
    expect(safe.safety_checker).toBeInstanceOf(StableDiffusionSafetyChecker);
    expect(safe.feature_extractor).toBeInstanceOf(CLIPImageProcessor);
    expect(safe.components.safety_checker).toBe(safe.safety_checker);
    expect(safe.config.safety_checker).toEqual(["stable_diffusion", "StableDiffusionSafetyChecker"]);
    expect(safe.config.feature_extractor).toEqual(["transformers", "CLIPImageProcessor"]);
    expect(safe.config.requires_safety_checker).toBe(true);
  });

  test("null leaves it out and reads none of its files", async () => {
    const { vae, text_encoder, tokenizer, unet, scheduler } = plain;
    const given = { vae, text_encoder, tokenizer, unet, scheduler, device: await testDevice() };
    const files: string[] = [];
    const base = await openRepository(SAFE);
    const source: Repository = {
      ...base,
      open: async (path, options) => (files.push(path), base.open(path, options)),
    };
    let bare: StableDiffusionPipeline | undefined;
    const said = await warnings(
      async () =>
        void (bare = await StableDiffusionPipeline.fromPretrained(source, { ...given, safety_checker: null })),
    );
    expect(said.join()).toMatch(/^You have disabled the safety checker for StableDiffusionPipeline by passing/);
    expect(files.filter((file) => file.startsWith("safety_checker"))).toEqual([]);
    expect(bare!.safety_checker).toBeNull();
    bare!.setProgressBarConfig({ disable: true });
    const { images, nsfwContentDetected } = await bare!("a photo of a cat", { ...few(), outputType: "np" });
    expect(nsfwContentDetected).toBeNull();
    expect((await images.data()).some((value) => value > 0)).toBe(true);
    images.dispose();
  });

  test("it can be taken out of a pipeline, and put back; without a feature extractor nothing is drawn", async () => {
    const { safety_checker, feature_extractor } = safe;
    safe.safety_checker = null;
    try {
      expect((await safe("a photo of a cat", few())).nsfwContentDetected).toBeNull();
      safe.safety_checker = safety_checker;
      safe.feature_extractor = null;
      await expect(safe("a photo of a cat", few())).rejects.toThrow(
        "the component `feature_extractor` is missing; CLIPImageProcessor is needed for the safety checker",
      );
      const { images } = await safe("a photo of a cat", { ...few(), outputType: "latent" });
      images.dispose();
    } finally {
      Object.assign(safe, { safety_checker, feature_extractor });
    }
  });

  test("others than it is are refused, and one without a feature extractor", () => {
    const { vae, text_encoder, tokenizer, unet, scheduler, safety_checker } = safe;
    const parts = { vae, text_encoder, tokenizer, unet, scheduler };
    expect(() => new StableDiffusionPipeline({ ...parts, safety_checker })).toThrow(
      "Make sure to define a feature extractor",
    );
    const feature_extractor = new CLIPImageProcessor();
    const wrong = { ...parts, safety_checker: {} as StableDiffusionSafetyChecker, feature_extractor };
    expect(() => new StableDiffusionPipeline(wrong)).toThrow(
      "StableDiffusionSafetyChecker is needed to look at pictures",
    );
  });
});
