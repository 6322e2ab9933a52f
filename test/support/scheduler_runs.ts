/** Runs schedulers as the functions of scripts/make_scheduler_runs.py do, and compares their steps. */
import { expect } from "vitest";
import {
  CogVideoXDPMScheduler,
  KarrasVeScheduler,
  RePaintScheduler,
  schedulerClass,
  ScoreSdeVpScheduler,
  type Scheduler,
} from "../../src/schedulers/index.js";
import type { Device } from "../../src/tensor/device.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { runFakeModel } from "./fake_model.js";

/** A case of test/fixtures/schedulers/runs.json. */
export interface SchedulerRun {
  scheduler: string;
  config: Record<string, unknown>;
  set: Record<string, unknown>;
  timesteps: number[];
  sigmas?: number[];
  seeds: number[];
  /** All samples, or of long runs the first three and the last two. */
  steps: number[][];
  after: number[];
  /** addNoise() at the second and first timestep. */
  noisy?: number[];
}

const SHAPE = [2, 3, 2, 2];
/** Python's float32 loses about that where levels are nearly equal. */
const TOLERANCE = 1e-4;
/** A Brownian path moves by √δ in a time δ: of levels that differ in float32's last digit, as exp() may, the noise differs by 3e-4. */
const BROWNIAN = 1e-3;

/** @param first element of the row that repeats */
function start(device: Device, { shape = SHAPE, first = 0, of = (v: number): number => v } = {}): Tensor {
  const size = shape.reduce((a, b) => a * b);
  const value = (_: unknown, i: number): number => of(((((i + first) % size) * 37) % 64) / 16 - 2);
  return Tensor.from(Float32Array.from({ length: size }, value), shape, { device });
}
const predict = (x: Tensor, t: number): Tensor => runFakeModel(x, t, "f");

type Noise = Generator | Generator[];
type Samples = Iterable<Tensor>;
type Loop = (x: Tensor, generator: Noise) => Samples;

function* plain(scheduler: Scheduler, timesteps: readonly number[], x: Tensor, generator: Noise): Samples {
  for (const t of timesteps) {
    x = scheduler.step(predict(scheduler.scaleModelInput(x, t), t), t, x, { generator, eta: 0.5 }).prevSample;
    yield x;
  }
}

function* dpm(scheduler: CogVideoXDPMScheduler, x: Tensor, generator: Noise): Samples {
  let oldPredOriginalSample: Tensor | null = null;
  for (const [i, t] of scheduler.timesteps.entries()) {
    const timestepBack = i > 0 ? scheduler.timesteps[i - 1] : null;
    const options = { generator, oldPredOriginalSample, timestepBack };
    const { prevSample, predOriginalSample } = scheduler.step(predict(x, t), t, x, options);
    [x, oldPredOriginalSample] = [prevSample, predOriginalSample!];
    yield x;
  }
}

function* karras(scheduler: KarrasVeScheduler, x: Tensor, generator: Noise): Samples {
  for (const t of scheduler.timesteps) {
    const [sigma, before] = [scheduler.schedule[t], t > 0 ? scheduler.schedule[t - 1] : 0];
    const [hat, sigmaHat] = scheduler.addNoiseToInput(x, sigma, generator);
    let step = scheduler.step(predict(hat, sigmaHat), sigmaHat, before, hat);
    if (before !== 0) {
      const { prevSample, derivative } = step;
      step = scheduler.stepCorrect(predict(prevSample, before), sigmaHat, before, hat, prevSample, derivative);
    }
    x = step.prevSample;
    yield x;
  }
}

function* repaint(scheduler: RePaintScheduler, x: Tensor, generator: Noise): Samples {
  const originalImage = start(x.device, { of: (v) => v / 2 });
  const mask = start(x.device, { shape: [2, 1, 2, 2], of: (v) => (v + 2) / 4 });
  let last = Infinity;
  for (const t of scheduler.timesteps) {
    x =
      t < last
        ? scheduler.step(predict(x, t), t, x, { originalImage, mask, generator }).prevSample
        : scheduler.undoStep(x, last, { generator });
    last = t;
    yield x;
  }
}

function* sdeVp(scheduler: ScoreSdeVpScheduler, x: Tensor, generator: Noise): Samples {
  for (const t of scheduler.timesteps) {
    x = scheduler.stepPred(predict(x, t), x, t, { generator }).prevSample;
    yield x;
  }
}

function loopOf(scheduler: Scheduler): Loop {
  if (scheduler instanceof CogVideoXDPMScheduler) return (...of) => dpm(scheduler, ...of);
  if (scheduler instanceof KarrasVeScheduler) return (...of) => karras(scheduler, ...of);
  if (scheduler instanceof RePaintScheduler) return (...of) => repaint(scheduler, ...of);
  if (scheduler instanceof ScoreSdeVpScheduler) return (...of) => sdeVp(scheduler, ...of);
  const { className, timesteps } = scheduler;
  const endsBefore = ["SCMScheduler", "DDPMWuerstchenScheduler"].includes(className);
  return (...of) => plain(scheduler, endsBefore ? timesteps.slice(0, -1) : timesteps, ...of);
}

function prepare({ scheduler: name, config, set }: SchedulerRun): Scheduler {
  const scheduler = schedulerClass(name).fromConfig(config);
  const { num_inference_steps: n, ...options } = set;
  scheduler.setTimesteps((n as number | undefined) ?? null, options);
  return scheduler;
}

function close(what: string, got: ArrayLike<number>, wanted: readonly number[], tolerance = TOLERANCE): void {
  expect(got.length, what).toBe(wanted.length);
  const size = wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  wanted.forEach((value, i) => {
    if (!(Math.abs(got[i] - value) <= tolerance * size))
      throw new Error(`${what}[${i}]: got ${got[i]}, want ${value}, off by ${Math.abs(got[i] - value)}`);
  });
}

/** @throws naming the place where a run differs */
export async function checkRun(run: SchedulerRun, device: Device): Promise<void> {
  const scheduler = prepare(run);
  close("timesteps", scheduler.timesteps, run.timesteps, 2e-6);
  if (run.sigmas) close("sigmas", (scheduler as unknown as { sigmas: number[] }).sigmas, run.sigmas, 2e-6);
  const generators = run.seeds.map((seed) => new Generator("cpu").manualSeed(seed));
  const samples = device.scope(() => {
    const x = start(device, { of: (v) => v * scheduler.initNoiseSigma });
    return [...loopOf(scheduler)(x, generators.length > 1 ? generators : generators[0])];
  });
  scheduler.reset();
  const kept = samples.length < 10 ? samples : [...samples.slice(0, 3), ...samples.slice(-2)];
  const values = await Promise.all(kept.map((x) => x.data()));
  for (const sample of samples) sample.dispose();
  expect(values.length).toBe(run.steps.length);
  const tolerance = run.scheduler === "CosineDPMSolverMultistepScheduler" ? BROWNIAN : TOLERANCE;
  values.forEach((got, i) => close(`step ${i}`, got, run.steps[i], tolerance));
  close("what is drawn afterwards", generators[0].randn([2]), run.after, 0);
  if (!run.noisy) return;
  const fresh = prepare(run) as Scheduler & { addNoise(x: Tensor, noise: Tensor, t: number[]): Tensor };
  const noisy = device.scope(() => {
    const flipped = start(device, { first: 12 }); // the second sample comes first
    return fresh.addNoise(start(device), flipped, [fresh.timesteps[1], fresh.timesteps[0]]);
  });
  close("noisy", await noisy.data(), run.noisy);
  noisy.dispose();
}
