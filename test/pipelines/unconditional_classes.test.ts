// ConsistencyModelPipeline, ScoreSdeVePipeline, KarrasVePipeline and RePaintPipeline against what scripts/make_unconditional.py wrote.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ConsistencyModelPipeline,
  DDPMScheduler,
  Generator,
  KarrasVePipeline,
  RawImage,
  RePaintPipeline,
  schedulerClass,
  ScoreSdeVePipeline,
  Tensor,
  UNet2DModel,
  type ConsistencyModelOptions,
  type Scheduler,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { madeRepository } from "../support/made_weights.js";
import { maskPicture, picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

interface Run {
  pipeline: keyof typeof CLASSES;
  model: string;
  config: object;
  call: Record<string, unknown>;
  seeds: number[];
  shape: number[];
  sum: number;
  pixels: number[];
  after: number[];
  last: number[];
}
const CLASSES = { ConsistencyModelPipeline, ScoreSdeVePipeline, KarrasVePipeline, RePaintPipeline };
const SCHEDULERS = {
  ConsistencyModelPipeline: "CMStochasticIterativeScheduler",
  ScoreSdeVePipeline: "ScoreSdeVeScheduler",
  KarrasVePipeline: "KarrasVeScheduler",
  RePaintPipeline: "RePaintScheduler",
};
type Drawing = { images: Tensor };
type Call = (options: object) => Promise<Drawing>;

const { models, runs } = await readFixtureJSON<{ models: Record<string, object>; runs: Run[] }>(
  "pipelines/unconditional.json",
);
const seeded = (seed = 8): Generator => new Generator("cpu").manualSeed(seed);
const ramp = (from: number, to: number, shape: number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b);
  return Tensor.from(
    Float32Array.from({ length: size }, (_, i) => from + ((to - from) * i) / (size - 1)),
    shape,
  );
};
const BOX = [3, 5, 12, 14] as const;
const INPUTS: Record<string, () => Promise<unknown>> = {
  tensor: async () => tensor(16, 16, "nchw", 2, -1),
  two: async () => [tensor(16, 16, "nchw", 2, -1), tensor(16, 16, "nchw", -2, 1)],
  picture: async () => picture(32, 39),
  pictures: async () => [picture(32, 39), picture(39, 32)],
  mask: async () =>
    Tensor.from(
      Float32Array.from(maskPicture(16, 16, BOX).data, (v) => v / 255),
      [1, 1, 16, 16],
    ),
  soft: async () => ramp(0, 1, [2, 1, 16, 16]),
  "mask picture": async () => maskPicture(47, 40, [4, 7, 30, 21]),
  "mask in colours": async () => maskPicture(63, 63, [11, 20, 50, 41], 3),
  latents: async () => ramp(2, -2, [1, 3, 16, 16]),
};

/** Keeps what the last step of any kind gave: the pictures are clamped. */
function record(scheduler: Scheduler): { last?: Promise<ArrayLike<number>> } {
  const kept: { last?: Promise<ArrayLike<number>> } = {};
  for (const name of ["step", "stepPred", "stepCorrect", "undoStep"]) {
    const methods = scheduler as unknown as Record<string, (...args: unknown[]) => { prevSample: Tensor } | Tensor>;
    const method = methods[name];
    if (!method) continue;
    methods[name] = (...args) => {
      const result = method.apply(scheduler, args);
      kept.last = (result instanceof Tensor ? result : result.prevSample).data();
      return result;
    };
  }
  return kept;
}

describe("pipelines of consistency models, SDE-Ve, Karras-Ve and RePaint", () => {
  const unets: Record<string, UNet2DModel> = {};
  beforeAll(async () => {
    const device = await testDevice();
    unets.cifar = await UNet2DModel.fromPretrained(fixturePath("models/repos/ddpm-cifar"), { device });
    for (const [name, config] of Object.entries(models))
      unets[name] = await UNet2DModel.fromPretrained(madeRepository(name, config, new UNet2DModel({ ...config })), {
        device,
      });
  });
  afterAll(() => Object.values(unets).forEach((unet) => unet.dispose()));

  const make = (pipeline: Run["pipeline"], model: string, config: object = {}) => {
    const scheduler = schedulerClass(SCHEDULERS[pipeline]).fromConfig(config as Record<string, unknown>);
    const made = new CLASSES[pipeline]({ unet: unets[model], scheduler });
    made.setProgressBarConfig({ disable: true });
    return made;
  };
  const used = async (): Promise<[number, number]> => {
    const device = await testDevice();
    device.trim();
    await device.synchronize();
    const { buffers, bytes } = device.memoryUse;
    return [buffers, bytes];
  };

  for (const [i, run] of runs.entries())
    test(`${i}: ${run.pipeline} of ${run.model}, ${JSON.stringify(run.call)}, draws what diffusers draws`, async () => {
      const pipeline = make(run.pipeline, run.model, run.config);
      const kept = record(pipeline.scheduler);
      const entries = await Promise.all(
        Object.entries(run.call).map(async ([name, value]) => [
          camelCase(name),
          typeof value === "string" ? await INPUTS[value]() : value,
        ]),
      );
      const given = Object.fromEntries(entries) as Record<string, unknown>;
      const generators = run.seeds.map(seeded);
      const generator = generators.length > 1 ? generators : generators[0];
      const { images } = await (pipeline as unknown as Call)({ ...given, generator, outputType: "np" });
      const size = Math.max(1, ...run.last.map(Math.abs));
      expect(differences(await kept.last!, run.last).worst).toBeLessThan(1e-3 * size);
      expect(Array.from(generators[0].randn([4]))).toEqual(run.after.map(Math.fround));
      expect(images.shape).toEqual(run.shape);
      const values = (await images.data()) as Float32Array;
      expect(differences(values.slice(0, 24), run.pixels).worst).toBeLessThan(1e-3 * size);
      const sum = values.reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - run.sum) / values.length).toBeLessThan(1e-3);
      for (const each of [images, ...Object.values(given).flat()]) if (each instanceof Tensor) each.dispose();
    });

  test("an AbortSignal stops within one step, and nothing stays in memory", async () => {
    const options = { numInferenceSteps: 4, image: picture(32, 32), maskImage: maskPicture(32, 32, [0, 0, 9, 9]) };
    for (const name of Object.keys(CLASSES) as Run["pipeline"][]) {
      const pipeline = make(name, "cifar");
      const own = name === "RePaintPipeline" ? options : { numInferenceSteps: 4 };
      const call = pipeline as unknown as (options: object) => Promise<{ images: RawImage[] }>;
      const { images } = await call({ ...own, generator: seeded() });
      expect(images[0]).toBeInstanceOf(RawImage);
      const before = await used();
      const controller = new AbortController();
      const { forward } = pipeline.unet;
      let calls = 0;
      pipeline.unet.forward = (...args) => {
        if (++calls === 3) controller.abort(new Error("enough"));
        return forward.apply(pipeline.unet, args);
      };
      await expect(call({ ...own, signal: controller.signal }), name).rejects.toThrow("enough");
      pipeline.unet.forward = forward;
      expect(calls).toBeLessThan(5);
      expect(await used()).toEqual(before);
    }
  });

  test("consistency models tell a callback of their steps, and draw classes of their own choice", async () => {
    const pipeline = make("ConsistencyModelPipeline", "classes") as ConsistencyModelPipeline;
    const steps: [number, number[]][] = [];
    const callback = (step: number, _: number, { shape }: Tensor): void => void steps.push([step, [...shape]]);
    await pipeline({ numInferenceSteps: 3, callback, callbackSteps: 2 });
    expect(steps).toEqual([
      [0, [1, 3, 8, 8]],
      [2, [1, 3, 8, 8]],
    ]);
    const given: ConsistencyModelOptions = { numInferenceSteps: 2, timesteps: [22, 0] };
    const [said] = await warnings(() => pipeline(given));
    expect(said).toContain("`timesteps` will be used over `numInferenceSteps`");
    const wrong: [ConsistencyModelOptions, RegExp][] = [
      [{ numInferenceSteps: null }, /Exactly one of `numInferenceSteps` or `timesteps` must be supplied/],
      [{ classLabels: 6 }, /`classLabels` must be whole numbers from 0 to 5, got 6/],
      [{ classLabels: 1, batchSize: 2 }, /one number is for one picture, got 1 for 2; give a list of 2/],
      [{ classLabels: [1, 2, 3], batchSize: 2 }, /one class label or one per image \(2\), got 3/],
      [{ callbackSteps: 0 }, /`callbackSteps` must be a positive integer, got 0/],
      [{ batchSize: 2, generator: [seeded()] }, /list of generators of length 1/],
      [{ latents: [1, 2] as never }, /`latents` must be a Tensor, got \[1, 2\]/],
      [{ timesteps: [0, 22] }, /timesteps must be in descending order/],
      [{ steps: 3 } as never, /got options that a call does not have: `steps`/],
    ];
    for (const [options, message] of wrong) await expect(pipeline(options)).rejects.toThrow(message);
    const latents = ramp(0, 1, [1, 3, 4, 4]);
    await expect(pipeline({ latents })).rejects.toThrow(/`latents` must be float32 \[1, 3, 8, 8\], got Tensor/);
    latents.dispose();
  });

  test("what RePaint cannot take is refused", async () => {
    const pipeline = make("RePaintPipeline", "cifar") as RePaintPipeline;
    const [image, maskImage] = [picture(32, 32), maskPicture(32, 32, [0, 0, 9, 9])];
    const wrong: [object, RegExp][] = [
      [{ maskImage }, /`image` must be a picture/],
      [{ image }, /`maskImage` must be a picture/],
      [
        { image, maskImage: maskPicture(33, 70, [0, 0, 9, 9]) },
        /\[1, 1, 64, 32\] does not go with pictures \[1, 3, 32, 32\]/,
      ],
      [{ image, maskImage: maskPicture(31, 32, [0, 0, 9, 9]) }, /too small: 31x32 pixels, 32 a side are needed/],
      [{ image, maskImage: [maskImage, maskImage] }, /one mask is wanted, or one per picture/],
      [{ image, maskImage, eta: NaN }, /`eta` must be a finite number, got NaN/],
      [{ image, maskImage, jumpLength: 0 }, /jumpLength must be a whole number of at least 1, got 0/],
      [{ image, maskImage, batchSize: 1 }, /got options that a call does not have: `batchSize`/],
    ];
    for (const [options, message] of wrong) await expect(pipeline(options as never)).rejects.toThrow(message);
    pipeline.scheduler = new DDPMScheduler();
    await expect(pipeline({ image, maskImage })).rejects.toThrow(
      "RePaintPipeline: the component `scheduler` is of class DDPMScheduler; RePaintScheduler is needed to draw, " +
        "RePaintScheduler.fromConfig(pipeline.scheduler.config) makes one",
    );
  });

  test("Karras-Ve needs two steps at least, and both samplers their own schedulers", async () => {
    await expect((make("KarrasVePipeline", "cifar") as KarrasVePipeline)({ numInferenceSteps: 1 })).rejects.toThrow(
      "KarrasVeScheduler.setTimesteps: needs at least 2 steps, got 1",
    );
    for (const name of ["KarrasVePipeline", "ScoreSdeVePipeline"] as const) {
      const pipeline = make(name, "cifar") as KarrasVePipeline;
      pipeline.scheduler = new DDPMScheduler();
      await expect(pipeline()).rejects.toThrow(`${SCHEDULERS[name]} is needed to draw`);
    }
  });
});
