import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ControlNetModel,
  Generator,
  MultiControlNetModel,
  RawImage,
  schedulerClass,
  SDCFGCutoffCallback,
  StableDiffusionControlNetPipeline,
  StableDiffusionPipeline,
  Tensor,
  type ControlNetPipelineOptions,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { kernelsRun, testDevice } from "../support/gpu.js";
import { picture, pixels, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";

/** What scripts/make_controlnet_pipeline.py wrote. */
interface Run {
  nets: "one" | "two" | "pooled";
  scheduler: string;
  image: string;
  options: Record<string, unknown>;
  shape: number[];
  images: number[];
}
const { runs } = await readFixtureJSON<{ runs: Run[] }>("pipelines/controlnet.json");

const [A, B] = [() => picture(48, 32), () => picture(61, 45)];
/** The first bytes of coloured pixels, as scripts/made_pictures.py. */
const grey = (): RawImage => new RawImage(48, 32, pixels(48, 32).filter((_, i) => i % 3 === 0), 1);
const IMAGES: Record<string, () => ControlNetPipelineOptions["image"]> = {
  "48x32": A,
  "61x45": B,
  grey,
  two: () => [A(), B()],
  nested: () => [
    [A(), B()],
    [B(), A()],
  ],
  tensor: () => tensor(50, 34, "nhwc"),
  shifted: () => tensor(48, 32, "nchw", 2, -1),
};
const ramp = (): Tensor =>
  Tensor.from(
    Float32Array.from({ length: 96 }, (_, i) => 2 - (4 * i) / 95),
    [1, 4, 4, 6],
  );

describe("StableDiffusionControlNetPipeline", () => {
  const pipelines = {} as Record<Run["nets"], StableDiffusionControlNetPipeline>;
  beforeAll(async () => {
    const device = await testDevice();
    const net = (config = {}): Promise<ControlNetModel> =>
      ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), { device, config });
    const [one, bgr, pooled] = await Promise.all([
      net(),
      net({ controlnet_conditioning_channel_order: "bgr" }),
      net({ global_pool_conditions: true }),
    ]);
    const folder = fixturePath("models/repos/sd15");
    pipelines.one = await StableDiffusionControlNetPipeline.fromPretrained(folder, { controlnet: one, device });
    pipelines.two = StableDiffusionControlNetPipeline.fromPipe(pipelines.one, { controlnet: [one, bgr] });
    pipelines.pooled = StableDiffusionControlNetPipeline.fromPipe(pipelines.one, { controlnet: pooled });
    for (const each of Object.values(pipelines)) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
  const dispose = (...given: unknown[]): void => {
    for (const each of given.flat()) if (each instanceof Tensor) each.dispose();
  };
  const numbers = async ({ images }: { images: Tensor }): Promise<Float32Array> => {
    const values = (await images.data()) as Float32Array;
    images.dispose();
    return values;
  };
  const few = (): Pick<ControlNetPipelineOptions, "image" | "numInferenceSteps" | "generator"> => ({
    image: A(),
    numInferenceSteps: 3,
    generator: seeded(8),
  });
  const drawn = async (
    options: Partial<ControlNetPipelineOptions>,
    pipeline = pipelines.one,
  ): Promise<Float32Array> => numbers(await pipeline("a cat", { ...few(), ...options, outputType: "latent" }));

  for (const [i, { nets, scheduler, image, options, shape, images }] of runs.entries())
    test(`${i}: ${nets}, ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelines[nets];
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const { prompt = "a photo of a cat", seeds, freeu, latents, ...given } = options as {
        prompt?: string;
        seeds?: number[];
        freeu?: { s1: number; s2: number; b1: number; b2: number };
        latents?: true;
      };
      if (freeu) pipeline.enableFreeu(freeu);
      const named = Object.fromEntries(Object.entries(given).map(([name, value]) => [camelCase(name), value]));
      const source = IMAGES[image]();
      const start = latents ? ramp() : undefined;
      const result = await pipeline(prompt, {
        numInferenceSteps: 5,
        generator: seeds ? seeds.map(seeded) : seeded(8),
        outputType: "latent",
        latents: start,
        ...named,
        image: source,
      });
      pipeline.disableFreeu();
      pipeline.scheduler = original;
      expect(result.images.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts.
      const bound = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers(result), images).worst).toBeLessThan(bound);
      dispose(source, start);
    });
});
