// The stateless schedulers along the trajectories of diffusers 0.30.3's Flax classes (jax 0.4.31), with the model of the
// other trajectories: x0 = normal(PRNGKey(5)), noise of step i from fold_in(PRNGKey(9), i).
import { describe, expect, test } from "vitest";
import {
  findFlaxScheduler,
  FlaxDDIMScheduler,
  FlaxDDPMScheduler,
  FlaxDPMSolverMultistepScheduler,
  FlaxEulerDiscreteScheduler,
  FlaxKarrasVeScheduler,
  FlaxLMSDiscreteScheduler,
  FlaxPNDMScheduler,
  FlaxScoreSdeVeScheduler,
  disposeState,
  flaxSchedulerNames,
  LMSDiscreteScheduler,
  PNDMScheduler,
  restoreState,
  saveState,
  ScoreSdeVeScheduler,
  type FlaxDiffusionScheduler,
  type FlaxDiffusionState,
} from "../../src/schedulers/index.js";
import type { Device } from "../../src/tensor/device.js";
import { foldIn, normal, PRNGKey } from "../../src/tensor/random_jax.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { runFakeModel } from "../support/fake_model.js";
import { readFixtureJSON } from "../support/files.js";
import { checkLeaks, take, testDevice } from "../support/gpu.js";

interface Case {
  scheduler: string;
  config: Record<string, unknown>;
  steps_n: number;
  initNoiseSigma: number;
  timesteps: number[];
  /** Σx, Σ|x|, x[0], x[100], x[191] after each step. */
  steps: number[][];
  /** The first 32 numbers after the last step. */
  last: number[];
  /** Σ, [0], [100] of the sample with noise at timestep 500. */
  addNoise500: number[] | null;
}
interface Goldens {
  cases: Case[];
  karrasVe: Record<"schedule" | "timesteps" | "prev" | "derivative" | "corrected", number[]>;
  sdeVe: Record<"timesteps" | "sigmas" | "discreteSigmas", number[]>;
  prints: Record<string, string>;
}
const goldens = await readFixtureJSON<Goldens>("schedulers/trajectories/flax.json");
const SHAPE = [1, 4, 8, 8];
const SD15 = {
  _class_name: "PNDMScheduler",
  _diffusers_version: "0.6.0",
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
  clip_sample: false,
};

type AnyFlax = FlaxDiffusionScheduler;
const make = (name: string, config: object): AnyFlax => findFlaxScheduler(name)!.fromConfig(config) as AnyFlax;
const sample = (device: Device, seed: number, factor = 1): Tensor =>
  Tensor.from(
    normal(PRNGKey(seed), SHAPE).map((v) => Math.fround(v * factor)),
    SHAPE,
    { device },
  );

/** Steps from `from` to `to` (exclusive). Takes the sample and the state over, as a caller who needs neither again. */
function advance(scheduler: AnyFlax, state: FlaxDiffusionState, x: Tensor, from: number, to: number, seen?: Tensor[]) {
  for (let i = from; i < to; i++) {
    const t = state.timesteps[i];
    const before = { state, x };
    const result = x.device.scope(() => {
      const output = runFakeModel(scheduler.scaleModelInput(state, x, t), t, "f");
      return scheduler.step(state, output, t, x, { key: foldIn(PRNGKey(9), i) });
    });
    ({ state, prevSample: x } = result);
    disposeState(before.state, state);
    if (!seen) before.x.dispose();
    else if (i > from) seen.push(before.x);
    else before.x.dispose();
  }
  seen?.push(x);
  return { state, x };
}

const size = (values: readonly number[]): number => values.reduce((most, v) => Math.max(most, Math.abs(v)), 1);

describe("trajectories of diffusers' Flax classes", () => {
  checkLeaks();

  for (const golden of goldens.cases)
    test(`${golden.scheduler}, ${golden.steps_n} steps, ${JSON.stringify(golden.config)}`, async () => {
      const device = await testDevice();
      const scheduler = make(golden.scheduler, golden.config);
      const created = scheduler.createState();
      expect(created.initNoiseSigma).toBeCloseTo(golden.initNoiseSigma, 4);
      expect(created.numInferenceSteps).toBeNull();
      const state = scheduler.setTimesteps(created, golden.steps_n, SHAPE);
      expect(state.timesteps).toHaveLength(golden.timesteps.length);
      // Fractions of jnp.linspace are a float32 step away from torch's.
      state.timesteps.forEach((t, i) => expect(Math.abs(t - golden.timesteps[i])).toBeLessThan(1e-4));

      const seen: Tensor[] = [];
      const end = advance(scheduler, state, sample(device, 5, state.initNoiseSigma), 0, state.timesteps.length, seen);
      const scale = size(golden.steps.flatMap((step) => step.slice(2)));
      for (const [i, [sum, absolute, ...points]] of golden.steps.entries()) {
        const data = await take(seen[i]);
        // float32 in JAX against double coefficients here; sums are over 256 numbers.
        const got = [0, 100, 191].map((at) => data[at]);
        got.forEach((v, k) => expect(Math.abs(v - points[k]), `step ${i}`).toBeLessThan(3e-5 * scale));
        expect(Math.abs(data.reduce((a, b) => a + b, 0) - sum)).toBeLessThan(256 * 2e-5 * scale);
        expect(Math.abs(data.reduce((a, b) => a + Math.abs(b), 0) - absolute)).toBeLessThan(256 * 2e-5 * scale);
        if (i === golden.steps.length - 1)
          golden.last.forEach((v, k) => expect(Math.abs(v - data[k])).toBeLessThan(3e-5 * scale));
      }
      disposeState(end.state);
      // With fewer training timesteps JAX clamps the index.
      if (!golden.addNoise500 || golden.config.num_train_timesteps !== undefined) return;
      const [x0, noise] = [sample(device, 5), sample(device, 6)];
      const noisy = await take(scheduler.addNoise(state, x0, noise, [500]));
      const got = [noisy.reduce((a, b) => a + b, 0), noisy[0], noisy[100]];
      golden.addNoise500.forEach((v, k) => expect(Math.abs(got[k] - v)).toBeLessThan(1e-4));
      for (const tensor of [x0, noise]) tensor.dispose();
    });
});

describe("what a state is", () => {
  checkLeaks();

  test("frozen plain data: no step changes it, and a step can be taken twice", async () => {
    const device = await testDevice();
    for (const name of ["FlaxPNDMScheduler", "FlaxDPMSolverMultistepScheduler", "FlaxLMSDiscreteScheduler"]) {
      const scheduler = make(name, SD15);
      const start = scheduler.setTimesteps(scheduler.createState(), 8, SHAPE);
      const { state, x } = advance(scheduler, start, sample(device, 5, start.initNoiseSigma), 0, 3);
      const before = JSON.stringify(JSON.parse(await saveState(state)));
      expect(Object.isFrozen(state)).toBe(true);
      expect(Object.isFrozen(state.timesteps)).toBe(true);
      expect(() => ((state as { initNoiseSigma: number }).initNoiseSigma = 2)).toThrow();
      const t = state.timesteps[3];
      const output = runFakeModel(x, t, "f");
      const [one, two] = [0, 1].map(() => scheduler.step(state, output, t, x));
      expect(await one.prevSample.data()).toEqual(await two.prevSample.data());
      expect(JSON.stringify(JSON.parse(await saveState(state)))).toBe(before);
      for (const result of [one, two]) {
        result.prevSample.dispose();
        disposeState(result.state, state);
      }
      for (const tensor of [output, x]) tensor.dispose();
      disposeState(state);
    }
  });

  test("a run that was paused, written as JSON and taken up again ends as the uninterrupted one, bit for bit", async () => {
    const device = await testDevice();
    for (const name of flaxSchedulerNames().slice(0, 6)) {
      const scheduler = make(name, SD15);
      const start = scheduler.setTimesteps(scheduler.createState(), 9, SHAPE);
      const n = start.timesteps.length;
      const initial = (): Tensor => sample(device, 5, start.initNoiseSigma);
      const whole = advance(scheduler, start, initial(), 0, n);
      for (const pause of [1, 2, 5]) {
        const half = advance(scheduler, start, initial(), 0, pause);
        const text = await saveState(half.state);
        const data = await half.x.data();
        half.x.dispose();
        disposeState(half.state);
        const again = restoreState<FlaxDiffusionState>(text, { device });
        const end = advance(make(name, SD15), again, Tensor.from(data, SHAPE, { device }), pause, n);
        expect(await take(end.x), `${name} at ${pause}`).toEqual(await whole.x.data());
        disposeState(end.state);
      }
      whole.x.dispose();
      disposeState(whole.state);
    }
    expect(() => restoreState("3")).toThrow(/saveState/);
  });

  test("numbers that JSON has not come back from a saved state too", async () => {
    const device = await testDevice();
    const odd = [NaN, Infinity, -Infinity, -0, 0.1];
    const state = {
      tensor: Tensor.from(odd, [5], { device }),
      tensors: [Tensor.from(odd, [1, 5], { device })],
      list: odd,
      number: Infinity,
      nested: { lambdaT: odd, none: null, list: [] },
    };
    const restored = restoreState<typeof state>(await saveState(state), { device });
    expect({ ...restored, tensor: null, tensors: null }).toEqual({ ...state, tensor: null, tensors: null });
    const data = Float32Array.from(odd);
    for (const tensor of [restored.tensor, ...restored.tensors]) expect(await take(tensor)).toEqual(data);
    expect(Object.isFrozen(restored.nested.lambdaT)).toBe(true);
    disposeState(state);
  });

  test("states that were saved before such numbers were kept are read as they were", async () => {
    const device = await testDevice();
    const text =
      '{"common":{"betas":[0.5,0.25]},"timesteps":[3,1],"derivatives":[{"tensor":{"shape":[1,2],"dtype":"float32",' +
      '"data":[1,0.1]}}],"counter":null}';
    const { derivatives, ...others } = restoreState<Record<string, unknown>>(text, { device });
    expect(others).toEqual({ common: { betas: [0.5, 0.25] }, timesteps: [3, 1], counter: null });
    expect(await take((derivatives as Tensor[])[0])).toEqual(Float32Array.of(1, 0.1));
  });
});

describe("configs", () => {
  test("every class prints its defaults as Python does, apart from the version", () => {
    const version = /"_diffusers_version": "[^"]*"/;
    expect(flaxSchedulerNames().sort()).toEqual(Object.keys(goldens.prints).sort());
    for (const [name, print] of Object.entries(goldens.prints)) {
      const printed = String(findFlaxScheduler(name)!.fromConfig({}));
      expect(printed.replace(version, "")).toBe(print.replace(version, ""));
    }
  });

  test("fromPretrained gives the scheduler and its state, fromConfig the scheduler alone", async () => {
    const bytes = new TextEncoder().encode(JSON.stringify(SD15));
    const file = { path: "", size: bytes.length, read: async (from = 0, to = bytes.length) => bytes.slice(from, to) };
    const repository = {
      name: "memory",
      open: async (path: string) => (path === "scheduler/scheduler_config.json" ? file : null),
    };
    const [scheduler, state] = await FlaxDPMSolverMultistepScheduler.fromPretrained(repository, {
      subfolder: "scheduler",
    });
    expect(scheduler).toBeInstanceOf(FlaxDPMSolverMultistepScheduler);
    expect(scheduler.config.skip_prk_steps).toBe(true); // kept for the way back
    expect(state.initNoiseSigma).toBe(1);
    expect(state.timesteps.slice(0, 2)).toEqual([999, 998]);
    expect(state.common.alphasCumprod).toHaveLength(1000);
    expect(state.lambdaT[0]).toBeGreaterThan(3);
    const back = PNDMScheduler.fromConfig(scheduler.config);
    expect(String(back)).toBe(String(PNDMScheduler.fromConfig(SD15)));
    const pndm = FlaxPNDMScheduler.fromConfig(scheduler.config);
    expect(pndm.setTimesteps(pndm.createState(), 10, SHAPE).timesteps.slice(0, 4)).toEqual([901, 801, 801, 701]);
  });

  test("compatibles are the six of the pipelines, and of Karras-Ve and SDE-Ve only themselves", () => {
    const names = (scheduler: { compatibles: { className: string }[] }): string[] =>
      scheduler.compatibles.map(({ className }) => className);
    expect(names(new FlaxPNDMScheduler())).toEqual([
      "FlaxDDIMScheduler",
      "FlaxDDPMScheduler",
      "FlaxPNDMScheduler",
      "FlaxLMSDiscreteScheduler",
      "FlaxDPMSolverMultistepScheduler",
      "FlaxEulerDiscreteScheduler",
    ]);
    expect(names(new FlaxKarrasVeScheduler())).toEqual(["FlaxKarrasVeScheduler"]);
    expect(names(new FlaxScoreSdeVeScheduler())).toEqual(["FlaxScoreSdeVeScheduler"]);
  });

  test("wrong values name key and value", () => {
    expect(() => new FlaxDPMSolverMultistepScheduler({ algorithm_type: "sde-dpmsolver" })).toThrow(
      /algorithm_type.*got "sde-dpmsolver"/,
    );
    expect(() => new FlaxDPMSolverMultistepScheduler({ solver_order: 4 })).toThrow(/solver_order.*got 4/);
    const ddim = new FlaxDDIMScheduler();
    expect(() => ddim.setTimesteps(ddim.createState(), 0)).toThrow(/numInferenceSteps.*from 1 to 100000, got 0/);
    const euler = new FlaxEulerDiscreteScheduler({ timestep_spacing: "even" });
    expect(() => euler.setTimesteps(euler.createState(), 4)).toThrow(/timestep_spacing.*"even"/);
  });
});

describe("where diffusers' Flax classes are wrong", () => {
  checkLeaks();

  test("LMS walks its own schedule, as the stateful class does", async () => {
    const device = await testDevice();
    const flax = FlaxLMSDiscreteScheduler.fromConfig(SD15);
    const state = flax.setTimesteps(flax.createState(), 10, SHAPE);
    const stateful = LMSDiscreteScheduler.fromConfig(SD15);
    stateful.setTimesteps(10);
    expect(state.timesteps).toEqual(stateful.timesteps);
    expect(state.sigmas).toEqual(stateful.sigmas);
    const end = advance(flax, state, sample(device, 5, state.initNoiseSigma), 0, 10);
    const wanted = device.scope(() =>
      stateful.timesteps.reduce(
        (x, t) => stateful.step(runFakeModel(stateful.scaleModelInput(x, t), t, "f"), t, x).prevSample,
        sample(device, 5, stateful.initNoiseSigma),
      ),
    );
    stateful.reset();
    const [got, want] = [await take(end.x), await take(wanted)];
    got.forEach((v, i) => expect(Math.abs(v - want[i])).toBeLessThan(1e-5));
    disposeState(end.state);
  });

  test("DDPM steps to the next timestep of a short schedule, with other noise each time", async () => {
    const device = await testDevice();
    const scheduler = FlaxDDPMScheduler.fromConfig({ ...SD15 });
    const state = scheduler.setTimesteps(scheduler.createState(), 10, SHAPE);
    expect(state.timesteps).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
    // Zero samples and outputs leave the noise alone: the standard deviation of the posterior between t = 900 and 800.
    const zero = Tensor.from(new Float32Array(256), SHAPE, { device });
    const noises = [900, 800].map((t) => scheduler.step(state, zero, t, zero).prevSample);
    const [a, b] = await Promise.all(noises.map(take));
    const { alphasCumprod: alphas } = state.common;
    const variance = ((1 - alphas[800]) / (1 - alphas[900])) * (1 - alphas[900] / alphas[800]);
    const std = Math.sqrt(a.reduce((sum, v) => sum + v * v, 0) / 256);
    expect(Math.abs(std / Math.sqrt(variance) - 1)).toBeLessThan(0.15); // 256 draws: 4 % is one sigma
    expect(Math.abs(a[0] / b[0] - a[1] / b[1])).toBeGreaterThan(1e-3);
    zero.dispose();
  });

  test("DDIM adds the noise of eta where it has a key", async () => {
    const device = await testDevice();
    const scheduler = FlaxDDIMScheduler.fromConfig(SD15);
    const state = scheduler.setTimesteps(scheduler.createState(), 10);
    const x = sample(device, 5);
    const step = (options: object): Promise<Float32Array> =>
      take(scheduler.step(state, x, 501, x, { eta: 1, ...options }).prevSample);
    const [none, one, two] = [await step({}), await step({ key: PRNGKey(1) }), await step({ key: PRNGKey(2) })];
    expect(one[0]).not.toBe(none[0]);
    expect(one[0]).not.toBe(two[0]);
    x.dispose();
  });

  test("a foreign timestep, another shape, a step before setTimesteps are errors", async () => {
    const device = await testDevice();
    const x = sample(device, 5);
    const short = Tensor.from([0, 0, 0, 0], [1, 4, 1, 1], { device });
    for (const name of flaxSchedulerNames().slice(0, 6)) {
      const scheduler = make(name, SD15);
      const created = scheduler.createState();
      // Where Python computes something the other classes do so too: off_schedule.test.ts.
      if (name !== "FlaxDDPMScheduler") expect(() => scheduler.step(created, x, 999, x)).toThrow(/setTimesteps first/);
      const state = scheduler.setTimesteps(created, 10);
      if (/LMS|Euler/.test(name))
        expect(() => scheduler.step(state, x, 17, x)).toThrow(/timestep 17 is not in the schedule/);
      expect(() => scheduler.step(state, short, state.timesteps[0], x)).toThrow(/same shape/);
    }
    for (const tensor of [x, short]) tensor.dispose();
  });
});

describe("Karras-Ve and SDE-Ve", () => {
  checkLeaks();
  const near = (got: ArrayLike<number>, wanted: readonly number[], relative = 1e-5): void =>
    wanted.forEach((v, i) => expect(Math.abs(got[i] - v)).toBeLessThan(relative * size(wanted)));

  test("Karras-Ve gives diffusers' schedule, step and correction", async () => {
    const device = await testDevice();
    const { karrasVe: golden } = goldens;
    const scheduler = new FlaxKarrasVeScheduler();
    const state = scheduler.setTimesteps(scheduler.createState(), 6, SHAPE);
    expect(state.timesteps).toEqual(golden.timesteps);
    state.schedule!.forEach((v, i) => expect(Math.abs(v / golden.schedule[i] - 1)).toBeLessThan(1e-5));
    const x = sample(device, 5, 3);
    const output = runFakeModel(x, 30, "f");
    const first = scheduler.step(state, output, 30, 11, x);
    near(await first.prevSample.data(), golden.prev);
    near(await first.derivative.data(), golden.derivative);
    const score = runFakeModel(first.prevSample, 11, "f");
    const second = scheduler.stepCorrect(state, score, 30, 11, x, first.prevSample, first.derivative);
    near(await second.prevSample.data(), golden.corrected);
    const [hat, sigmaHat] = scheduler.addNoiseToInput(state, x, 30, PRNGKey(3));
    expect(sigmaHat).toBeCloseTo(30 * Math.SQRT2, 5);
    expect((await take(hat))[0]).not.toBe((await x.data())[0]);
    expect(() => scheduler.addNoise()).toThrow(/addNoiseToInput/);
    expect(() => scheduler.setTimesteps(state, 1)).toThrow(/at least 2/);
    for (const { prevSample, derivative } of [first, second]) [prevSample, derivative].forEach((t) => t.dispose());
    for (const tensor of [x, output, score]) tensor.dispose();
  });

  test("SDE-Ve has diffusers' levels and the steps of the stateful class", async () => {
    const device = await testDevice();
    const { sdeVe: golden } = goldens;
    const scheduler = new FlaxScoreSdeVeScheduler();
    const state = scheduler.setSigmas(scheduler.setTimesteps(scheduler.createState(), 10, SHAPE), 10);
    near(state.timesteps, golden.timesteps);
    near(state.sigmas, golden.sigmas);
    near(state.discreteSigmas, golden.discreteSigmas);
    const stateful = new ScoreSdeVeScheduler();
    stateful.setTimesteps(10);
    stateful.setSigmas(10);
    const x = sample(device, 5);
    const t = state.timesteps[3];
    const key = PRNGKey(4);
    const { prevSampleMean, prevSample } = scheduler.step(state, x, t, x, { key });
    const generator = { randn: () => new Float32Array(256) };
    const wanted = stateful.step(x, t, x, { generator });
    expect(await prevSampleMean!.data()).toEqual(await wanted.prevSampleMean!.data());
    const corrected = await take(scheduler.stepCorrect(state, x, x, { key }).prevSample);
    expect(corrected.every(Number.isFinite)).toBe(true);
    for (const tensor of [x, prevSample, prevSampleMean, wanted.prevSample, wanted.prevSampleMean]) tensor?.dispose();
  });
});
