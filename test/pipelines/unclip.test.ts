/** StableDiffusionImageVariationPipeline, StableUnCLIPImg2ImgPipeline and StableUnCLIPPipeline, as diffusers draws with them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  schedulerClass,
  StableDiffusionSafetyChecker,
  Tensor,
  type AnyPipeline,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, seeded } from "../support/sdxl_pictures.js";
import { givenTensors, IMAGES, UNCLIP, unclipRepository, type UnCLIPKind, type UnCLIPRun } from "../support/unclip.js";
import { warnings } from "../support/warnings.js";

const KINDS: readonly UnCLIPKind[] = ["variation", "img2img", "text"];

/** What a call gives, and what its callback saw. */
async function draw(
  pipeline: AnyPipeline,
  { kind, scheduler, image, options }: UnCLIPRun,
): Promise<{ images: Tensor; nsfwContentDetected?: boolean[] | null; calls: unknown[] }> {
  const { prompt, seeds, given, prior_scheduler: prior, safe: _, ...rest } = options;
  const parts = pipeline as unknown as Record<string, { config: object }>;
  const originals = { scheduler: parts.scheduler, prior_scheduler: parts.prior_scheduler };
  const from = (name: string, { config }: { config: object }): never =>
    schedulerClass(name).fromConfig(config) as never;
  parts.scheduler = from(scheduler, originals.scheduler);
  if (prior) parts.prior_scheduler = from(prior as string, originals.prior_scheduler);
  const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
  const calls: unknown[] = [];
  const own = {
    ...(rest.callback_steps !== undefined && {
      callback: (i: number, t: number, x: Tensor) => void calls.push([i, t, [...x.shape]]),
    }),
    ...(kind === "text" ? { prior_num_inference_steps: 3 } : {}),
    ...givenTensors((given as string[] | undefined) ?? [], kind === "variation" ? 8 : 4),
  };
  const call = {
    ...{ height: 16, width: 24, numInferenceSteps: 3, outputType: "latent" },
    generator: seeds ? generators : generators[0],
    ...Object.fromEntries(Object.entries({ ...own, ...rest }).map(([name, value]) => [camelCase(name), value])),
    ...(kind === "img2img" && prompt !== undefined && { prompt }),
  };
  const first = kind === "text" ? prompt : IMAGES[image]();
  let output: { images: Tensor; nsfwContentDetected?: boolean[] | null };
  await warnings(async () => {
    output = (await pipeline(first, call)) as typeof output;
  });
  Object.assign(pipeline, originals.prior_scheduler ? originals : { scheduler: originals.scheduler });
  dispose(call);
  if (first instanceof Tensor) first.dispose();
  return { ...output!, calls };
}

describe("pictures in the place of prompts, and beside them", () => {
  const pipelines = {} as Record<UnCLIPKind, AnyPipeline>;
  let checker: StableDiffusionSafetyChecker;
  beforeAll(async () => {
    await testDevice();
    for (const kind of KINDS) {
      // Those of unCLIP are made of the same models.
      const { unet, vae, text_encoder } = kind === "text" ? pipelines.img2img.components : {};
      const shared = { unet, vae, text_encoder };
      pipelines[kind] = await DiffusionPipeline.fromPretrained(await unclipRepository(kind), shared);
      pipelines[kind].setProgressBarConfig({ disable: true });
    }
    checker = await StableDiffusionSafetyChecker.fromPretrained(fixturePath("models/repos/sd15-safe"), {
      subfolder: "safety_checker",
    });
  });
  afterAll(() => {
    for (const each of [checker, ...Object.values(pipelines)]) each.dispose();
  });

  for (const [i, run] of UNCLIP.runs.entries())
    test(`${i}: ${run.kind}, ${run.scheduler}, ${run.image}, ${JSON.stringify(run.options)}, as diffusers`, async () => {
      const pipeline = pipelines[run.kind];
      if (run.options.safe) Object.assign(pipeline, { safety_checker: checker });
      const { images, calls, nsfwContentDetected } = await draw(pipeline, run);
      if (run.options.safe) Object.assign(pipeline, { safety_checker: null });
      expect(images.shape).toEqual(run.shape);
      // As in test/pipelines/stable_diffusion.test.ts.
      const bound = run.options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images }), run.images).worst).toBeLessThan(bound);
      expect(calls).toEqual(run.calls ?? []);
      expect(nsfwContentDetected ?? undefined).toEqual(run.flags);
    });
});

describe("the same in float16", () => {
  for (const run of UNCLIP.half)
    test(run.kind, async () => {
      await testDevice();
      const pipeline = await DiffusionPipeline.fromPretrained(await unclipRepository(run.kind), { dtype: "float16" });
      pipeline.setProgressBarConfig({ disable: true });
      const { images } = await draw(pipeline, run);
      const scale = Math.max(...run.images.map(Math.abs));
      expect(differences(await numbers({ images }), run.images).mean).toBeLessThan(2e-2 * scale);
      pipeline.dispose();
    });
});
