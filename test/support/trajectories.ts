/** Runs schedulers along the trajectories that Python's diffusers took with a fake model, and compares every step. */
import { beforeAll, describe, expect, test } from "vitest";
import {
  schedulerClass,
  ScoreSdeVeScheduler,
  type Scheduler,
  type StepOptions,
  type StepResult,
} from "../../src/schedulers/index.js";
import type { Device } from "../../src/tensor/device.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { runFakeModel } from "./fake_model.js";
import { readFixtureJSON } from "./files.js";
import { floats, readGolden, type Golden } from "./goldens.js";
import { testDevice } from "./gpu.js";

type Goldens = Map<string, Golden>;
/** A case of a trajectory file. */
export interface Trajectory {
  id: string;
  label: string;
  scheduler: string;
  config: Record<string, unknown>;
  setTimesteps: Record<string, unknown>;
  stepArgs: Record<string, unknown>;
  loop: "pipeline" | "unclip" | "scoreSdeVe";
  model: "f" | "f+g";
  shape: number[];
  start: { tStart: number } | null;
  sampleSeed: number;
  initNoiseSigma: number;
  order: number;
  timesteps: number[];
  timestepsDtype: string;
  sigmas: number[] | null;
  noiseSeed: number | null;
  steps: number[][];
  x0SumAbs?: number[] | null;
  tensors: { start?: string; modelInput0: string | null; first: string; last: string };
  addNoise?: { timestepIndex: number; tensor: string };
  velocity?: { timestepIndex: number; tensor: string };
  tol: { first: number; last: number };
}

/** What a scheduler may have besides the common surface. */
type AnyScheduler = Scheduler & {
  sigmas?: number[];
  setBeginIndex?(index: number): void;
  addNoise?(x: Tensor, noise: Tensor, timesteps: number | number[]): Tensor;
  scaleNoise?(x: Tensor, timesteps: number | number[], noise: Tensor): Tensor;
  getVelocity?(x: Tensor, noise: Tensor, timesteps: number | number[]): Tensor;
};

const camel = (key: string): string => key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const camelKeys = (object: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [camel(key), value]));

/** JSON has no infinities and no functions; the fixtures write them so. */
export function decodeConfig(config: Record<string, unknown>): Record<string, unknown> {
  const decode = (value: unknown): unknown => {
    if (value === "Infinity" || value === "-Infinity") return Number(value);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const { constant, from, to, value: inside } = value as Record<string, number>;
    return constant === undefined ? (t: number) => (t >= from && t <= to ? inside : 0) : () => constant;
  };
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, decode(value)]));
}

/** A scheduler of a case with its schedule set. */
export function prepare({
  scheduler,
  config,
  setTimesteps,
}: Pick<Trajectory, "scheduler" | "config" | "setTimesteps">): AnyScheduler {
  const made = schedulerClass(scheduler).fromConfig(decodeConfig(config)) as AnyScheduler;
  const { num_inference_steps: n, ...options } = setTimesteps;
  made.setTimesteps((n as number | undefined) ?? null, camelKeys(options));
  if (made instanceof ScoreSdeVeScheduler) made.setSigmas(n as number);
  return made;
}

/** Everything that a run made, on the GPU. */
interface Run {
  scheduler: AnyScheduler;
  tensors: Map<string, Tensor>;
  steps: Tensor[];
  x0: (Tensor | undefined)[];
}

function run(device: Device, trajectory: Trajectory, shared: Goldens): Run {
  const scheduler = prepare(trajectory);
  const { shape, start, loop, sampleSeed, model } = trajectory;
  const key = shape.join("x");
  const tensors = new Map<string, Tensor>();
  const x0 = Tensor.from(floats(shared, `initial/${sampleSeed}/${key}`), shape, { device });
  const noise = Tensor.from(floats(shared, `addnoise/${key}`), shape, { device });
  const noisy = (with_: AnyScheduler, t: number): Tensor =>
    with_.addNoise ? with_.addNoise(x0, noise, t) : with_.scaleNoise!(x0, t, noise);

  let timesteps = scheduler.timesteps;
  let x: Tensor;
  if (start) {
    const from = start.tStart * scheduler.order;
    timesteps = timesteps.slice(from);
    scheduler.setBeginIndex?.(from);
    x = noisy(scheduler, timesteps[0]);
    tensors.set(trajectory.tensors.start!, x);
  } else {
    const scaled = Float32Array.from(
      floats(shared, `initial/${sampleSeed}/${key}`),
      (v) => v * Math.fround(scheduler.initNoiseSigma),
    );
    x = Tensor.from(scaled, shape, { device });
  }
  const generator = new Generator("cpu").manualSeed(trajectory.noiseSeed ?? 0);
  const options: StepOptions = { ...camelKeys(trajectory.stepArgs), generator };
  const result: Run = { scheduler, tensors, steps: [], x0: [] };
  timesteps.forEach((t, i) => {
    if (scheduler instanceof ScoreSdeVeScheduler) x = correct(scheduler, x, i, options);
    const prevTimestep = loop === "unclip" ? { prevTimestep: timesteps[i + 1] ?? null } : {};
    const input = scheduler.scaleModelInput(x, t);
    if (i === 0 && trajectory.tensors.modelInput0) tensors.set(trajectory.tensors.modelInput0, input);
    const output = runFakeModel(input, scheduler instanceof ScoreSdeVeScheduler ? scheduler.sigmas[i] : t, model);
    const { prevSample, ...guess }: StepResult = scheduler.step(output, t, x, { ...options, ...prevTimestep });
    result.steps.push(prevSample);
    result.x0.push(guess.predOriginalSample ?? guess.denoised ?? guess.predNoisedSample);
    // What a caller may do: the scheduler must have its own copies.
    output.dispose();
    if (i > 0 && input !== x) input.dispose();
    x = prevSample;
  });
  tensors.set(trajectory.tensors.first, result.steps[0]);
  tensors.set(trajectory.tensors.last, x);
  const fresh = trajectory.addNoise || trajectory.velocity ? prepare(trajectory) : null;
  for (const extra of [trajectory.addNoise, trajectory.velocity]) {
    if (!extra || !fresh) continue;
    const t = fresh.timesteps[extra.timestepIndex];
    tensors.set(extra.tensor, extra === trajectory.addNoise ? noisy(fresh, t) : fresh.getVelocity!(x0, noise, t));
  }
  scheduler.reset();
  return result;
}

/** The corrector's steps of a timestep, which come before the predictor's. */
function correct(scheduler: ScoreSdeVeScheduler, x: Tensor, i: number, options: StepOptions): Tensor {
  for (let k = 0; k < scheduler.config.correct_steps; k++)
    x = scheduler.stepCorrect(runFakeModel(x, scheduler.sigmas[i], "f"), x, options).prevSample;
  return x;
}

const sum = (values: Float32Array, of: (v: number) => number): number => values.reduce((total, v) => total + of(v), 0);
const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** Fails naming case, place and numbers. */
function close(what: string, got: number, wanted: number, tolerance: number): void {
  if (!(Math.abs(got - wanted) <= tolerance))
    throw new Error(`${what}: got ${got}, want ${wanted}, off by ${Math.abs(got - wanted)}, allowed ${tolerance}`);
}

function checkSchedule(trajectory: Trajectory, scheduler: AnyScheduler): void {
  const { id, timesteps, timestepsDtype, sigmas, order, initNoiseSigma } = trajectory;
  expect(scheduler.timesteps.length).toBe(timesteps.length);
  // Integers are exact. Some of the others come out of logarithms in float32, which differ in the last digit.
  timesteps.forEach((t, i) => {
    const fraction = Number.isInteger(t) ? 2 ** -23 * t : 2e-6 * Math.abs(t) + 2e-6;
    close(`${id} timestep ${i}`, scheduler.timesteps[i], t, timestepsDtype === "int64" ? 0 : fraction);
  });
  if (sigmas) {
    expect(scheduler.sigmas?.length).toBe(sigmas.length);
    sigmas.forEach((sigma, i) => close(`${id} sigma ${i}`, scheduler.sigmas![i], sigma, 1e-6 * Math.abs(sigma)));
  }
  expect(scheduler.order).toBe(order);
  close(`${id} initNoiseSigma`, scheduler.initNoiseSigma, initNoiseSigma, 1e-6 * initNoiseSigma);
}

async function checkSamples(trajectory: Trajectory, result: Run, own: Goldens): Promise<void> {
  const { id, tol, steps, x0SumAbs } = trajectory;
  expect(result.steps.length).toBe(steps.length);
  const samples = await Promise.all(result.steps.map((x) => x.data() as Promise<Float32Array>));
  const guesses = await Promise.all(result.x0.map(async (x) => x && ((await x.data()) as Float32Array)));
  steps.forEach((wanted, i) => {
    const x = samples[i];
    // Between the first and the last step Python's own float32 coefficients are off by more (SA-Solver of order 4).
    const each = 4 * Math.max(tol.first, tol.last, 1e-5 * largest(x));
    const got = [sum(x, (v) => v), sum(x, Math.abs), x[0], x[100], x[191]];
    got.forEach((value, k) => close(`${id} step ${i} value ${k}`, value, wanted[k], k < 2 ? each * x.length : each));
    const guess = guesses[i];
    const sumAbs = x0SumAbs?.[i];
    if (guess && sumAbs !== null && sumAbs !== undefined)
      close(`${id} x0 of step ${i}`, sum(guess, Math.abs), sumAbs, 1e-4 * Math.max(sumAbs, 1));
  });
  for (const [name, tensor] of result.tensors) {
    const wanted = floats(own, name);
    const got = await tensor.data();
    const scale = 1e-5 * largest(wanted);
    const tolerance =
      name === trajectory.tensors.first ? tol.first : name === trajectory.tensors.last ? tol.last : scale;
    wanted.forEach((value, k) => close(`${id} ${name}[${k}]`, got[k], value, tolerance));
  }
}

/** One test per trajectory of `trajectories/<file>.json`; each also checks that nothing stays in the GPU's memory. */
export function testTrajectories(file: string, count: number): void {
  describe(`trajectories of ${file}`, () => {
    let cases: Trajectory[] = [];
    let own: Goldens;
    let shared: Goldens;
    let device: Device;
    beforeAll(async () => {
      const path = `schedulers/trajectories/${file}`;
      cases = (await readFixtureJSON<{ cases: Trajectory[] }>(`${path}.json`)).cases;
      [own, shared] = [
        await readGolden(`${path}.safetensors`),
        await readGolden("schedulers/trajectories/noise.safetensors"),
      ];
      device = await testDevice();
    });
    test("every trajectory of the file is there", () => {
      expect(cases.length).toBe(count);
    });
    for (let i = 0; i < count; i++)
      test(`trajectory ${i}`, async () => {
        const trajectory = cases[i];
        await device.synchronize(); // what earlier tests have disposed is then gone
        const before = device.memoryUse;
        const made = device.scope(() => {
          const result = run(device, trajectory, shared);
          return { result, keep: [...result.tensors.values(), ...result.steps, ...result.x0] };
        }).result;
        try {
          checkSchedule(trajectory, made.scheduler);
          await checkSamples(trajectory, made, own);
        } finally {
          for (const tensor of [...made.tensors.values(), ...made.steps, ...made.x0]) tensor?.dispose();
        }
        await device.synchronize();
        const after = device.memoryUse;
        expect(after.buffers - after.pooledBuffers).toBe(before.buffers - before.pooledBuffers);
      });
  });
}
