import { describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  DDPMScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KARRAS_SCHEDULERS,
  PNDMScheduler,
  schedulerClass,
  type Scheduler,
} from "../../src/schedulers/index.js";
import { Linear } from "../../src/schedulers/linear.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { checkLeaks, take, testDevice } from "../support/gpu.js";

const SHAPE = [2, 4, 4, 4];
const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
const sample = async (seed: number, shape = SHAPE): Promise<Tensor> =>
  Tensor.from(seeded(seed).randn(shape), shape, { device: await testDevice() });

/** A run whose model repeats its input, disposing everything as soon as it can be. */
async function run(scheduler: Scheduler, x: Tensor, generator?: Generator | Generator[]): Promise<Float32Array> {
  for (const t of scheduler.timesteps) {
    const input = scheduler.scaleModelInput(x, t);
    const { prevSample, ...others } = scheduler.step(input, t, x, { generator });
    for (const other of Object.values(others) as Tensor[]) other.dispose();
    if (input !== x) input.dispose();
    x.dispose();
    x = prevSample;
  }
  return take(x);
}

describe("steps", () => {
  checkLeaks();

  test("nothing stays on the GPU after a run and reset, and the next run is the same", async () => {
    for (const name of KARRAS_SCHEDULERS) {
      const Class = schedulerClass(name);
      const seed = name === "DPMSolverSDEScheduler" ? { noise_sampler_seed: 0 } : {};
      const scheduler = Class.fromConfig(seed);
      scheduler.setTimesteps(5);
      const first = await run(scheduler, await sample(1), seeded(2));
      scheduler.reset();
      const second = await run(scheduler, await sample(1), seeded(2));
      scheduler.reset();
      expect(first.every(Number.isFinite)).toBe(true);
      expect(second).toEqual(first);
    }
  });

  test("setTimesteps in the middle of a run frees what it remembered", async () => {
    const scheduler = new PNDMScheduler({ skip_prk_steps: true });
    scheduler.setTimesteps(6);
    const x = await sample(1);
    for (const t of scheduler.timesteps.slice(0, 3)) scheduler.step(x, t, x).prevSample.dispose();
    scheduler.setTimesteps(6);
    x.dispose();
    expect(scheduler.counter).toBe(0);
  });

  test("a list of generators draws one sample each", async () => {
    const [a, b] = [new DDPMScheduler(), new DDPMScheduler()];
    for (const scheduler of [a, b]) scheduler.setTimesteps(2);
    const both = await run(a, await sample(1), [seeded(3), seeded(4)]);
    const data = seeded(1).randn(SHAPE);
    const half = data.length / 2;
    const device = await testDevice();
    const single = Tensor.from(data.slice(half), [1, ...SHAPE.slice(1)], { device });
    expect(both.slice(half)).toEqual(await run(b, single, seeded(4)));
    const x = await sample(1);
    a.setTimesteps(2);
    expect(() => a.step(x, a.timesteps[0], x, { generator: [seeded(1), seeded(2), seeded(3)] })).toThrow(
      /per sample, 2, got 3/,
    );
    x.dispose();
  });

  test("varianceNoise replaces the drawn noise, and both together are an error", async () => {
    const scheduler = new DDIMScheduler();
    scheduler.setTimesteps(2);
    const [x, noise] = [await sample(1), Tensor.from(seeded(5).randn(SHAPE), SHAPE, { device: await testDevice() })];
    const t = scheduler.timesteps[0];
    const drawn = scheduler.step(x, t, x, { eta: 1, generator: seeded(5) });
    const given = scheduler.step(x, t, x, { eta: 1, varianceNoise: noise });
    expect(await take(given.prevSample)).toEqual(await take(drawn.prevSample));
    expect(() => scheduler.step(x, t, x, { eta: 1, varianceNoise: noise, generator: seeded(5) })).toThrow(/got both/);
    for (const tensor of [x, noise, drawn.predOriginalSample, given.predOriginalSample]) tensor?.dispose();
  });

  test("the output of a float16 model is taken with float32 latents", async () => {
    const device = await testDevice();
    const output = Tensor.from(seeded(2).randn(SHAPE), SHAPE, { device, dtype: "float16" });
    const x = await sample(1);
    for (const config of [{}, { thresholding: true, prediction_type: "sample" }, { prediction_type: "v_prediction" }]) {
      const scheduler = DDIMScheduler.fromConfig(config);
      scheduler.setTimesteps(2);
      const { prevSample, predOriginalSample } = scheduler.step(output, scheduler.timesteps[0], x);
      expect(prevSample.dtype).toBe("float32");
      expect((await take(prevSample)).every(Number.isFinite)).toBe(true);
      predOriginalSample?.dispose();
    }
    output.dispose();
    x.dispose();
  });

  test("without signal at the first timestep, clipping saves an x0 from noise, and else there is an error", async () => {
    const x = await sample(1);
    const [clips, fails] = [true, false].map((clip_sample) => {
      const scheduler = new DDIMScheduler({ rescale_betas_zero_snr: true, timestep_spacing: "trailing", clip_sample });
      scheduler.setTimesteps(2);
      return scheduler;
    });
    expect(clips.alphasCumprod[999]).toBe(0);
    const y = await sample(2);
    const { prevSample, predOriginalSample } = clips.step(y, 999, x);
    const [signs, a, b] = await Promise.all([predOriginalSample!.data(), x.data(), y.data()]);
    expect(signs.every((sign, i) => sign === Math.sign(a[i] - b[i]))).toBe(true);
    y.dispose();
    expect(() => fails.step(x, 999, x)).toThrow(/no signal.*"v_prediction" or "sample".*got "epsilon"/);
    for (const tensor of [x, prevSample, predOriginalSample]) tensor?.dispose();
  });

  // Numbers of Python's diffusers 0.42.1 for the sample i / 16 - 1 of shape [1, 2, 4, 4] and a model that halves it.
  const half = (x: Tensor): Tensor => Linear.of(x, 0.5).toTensor();
  const ramp = async (): Promise<Tensor> =>
    Tensor.from(
      Array.from({ length: 32 }, (_, i) => i / 16 - 1),
      [1, 2, 4, 4],
      { device: await testDevice() },
    );

  test("DDPM takes the variance_type null of DPM-Solver's files for fixed_small", async () => {
    const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
    const saved = { _class_name: "DPMSolverMultistepScheduler", timestep_spacing: "linspace", variance_type: null };
    const scheduler = DDPMScheduler.fromConfig({ ...betas, ...saved });
    expect(scheduler.config.variance_type).toBeNull();
    scheduler.setTimesteps(4);
    const generator = seeded(3);
    const x = await ramp();
    const device = await testDevice();
    const end = device.scope(() =>
      scheduler.timesteps.reduce((y, t) => scheduler.step(half(y), t, y, { generator }).prevSample, x),
    );
    const got = await take(end);
    const wanted = [-0.9345656633377075, -0.35921403765678406, -0.9738711714744568, -0.2670280933380127];
    wanted.forEach((value, i) => expect(Math.abs(got[i] - value)).toBeLessThan(1e-5));
    expect(Math.abs(got[31] - 0.977347195148468)).toBeLessThan(1e-5);
    x.dispose();
  });

  test("the timestep -1, at which the spacing trailing ends by rounding, counts from the end of the table", async () => {
    const config = { num_train_timesteps: 100, beta_start: 0.001, beta_end: 0.05, clip_sample: false };
    const scheduler = new DDIMScheduler({ ...config, timestep_spacing: "trailing" });
    scheduler.setTimesteps(29);
    expect(scheduler.timesteps).toHaveLength(30);
    expect(scheduler.timesteps.slice(-3)).toEqual([6, 2, -1]);
    const x = await ramp();
    const device = await testDevice();
    const got = await take(device.scope(() => scheduler.step(half(x), -1, x).prevSample));
    const wanted = [-1.8986637592315674, -1.7799971103668213, -1.6613306999206543];
    wanted.forEach((value, i) => expect(Math.abs(got[i] - value)).toBeLessThan(1e-5));
    x.dispose();
  });

  test("addNoise takes one timestep for all samples or one for each", async () => {
    const scheduler = new DDIMScheduler();
    const [x, noise] = [await sample(1), await sample(2)];
    const [early, late, each] = [
      scheduler.addNoise(x, noise, 10),
      scheduler.addNoise(x, noise, [900]),
      scheduler.addNoise(x, noise, [10, 900]),
    ];
    const [a, b, mixed] = [await take(early), await take(late), await take(each)];
    const half = mixed.length / 2;
    expect(mixed.slice(0, half)).toEqual(a.slice(0, half));
    expect(mixed.slice(half)).toEqual(b.slice(half));
    expect(() => scheduler.addNoise(x, noise, [1, 2, 3])).toThrow(/one for each of 2 samples, got 3/);
    expect(() => scheduler.addNoise(x, noise, 1000)).toThrow(/from 0 to 999, got 1000/);
    x.dispose();
    noise.dispose();
  });
});

describe("schedules", () => {
  test("PNDM runs one step more than asked for, Heun almost twice as many", () => {
    const pndm = new PNDMScheduler({ skip_prk_steps: true, steps_offset: 1 });
    pndm.setTimesteps(10);
    expect(pndm.timesteps).toEqual([901, 801, 801, 701, 601, 501, 401, 301, 201, 101, 1]);
    const heun = new HeunDiscreteScheduler();
    heun.setTimesteps(10);
    expect(heun.timesteps).toHaveLength(19);
    expect(heun.order).toBe(2);
  });

  test("the step index counts on from where a run begins", async () => {
    const scheduler = new EulerDiscreteScheduler();
    scheduler.setTimesteps(10);
    expect(scheduler.stepIndex).toBeNull();
    scheduler.setBeginIndex(4);
    const x = await sample(1);
    const input = scheduler.scaleModelInput(x, scheduler.timesteps[4]);
    expect(scheduler.stepIndex).toBe(4);
    expect(scheduler.beginIndex).toBe(4);
    for (const tensor of Object.values(scheduler.step(input, scheduler.timesteps[4], x)) as Tensor[]) tensor.dispose();
    expect(scheduler.stepIndex).toBe(5);
    scheduler.setTimesteps(10);
    expect(scheduler.beginIndex).toBeNull();
    input.dispose();
    x.dispose();
  });

  test("length is the number of training timesteps", () => {
    expect(new DDIMScheduler({ num_train_timesteps: 500 }).length).toBe(500);
  });
});
