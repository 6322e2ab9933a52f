// Two steps at one timestep, as Python takes it or refuses it: of the schedule, beside it, 0, 1, and before set_timesteps.
// Goldens of scripts/make_off_schedule.py.
import { describe, expect, test } from "vitest";
import {
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerDiscreteScheduler,
  findFlaxScheduler,
  FlaxDPMSolverMultistepScheduler,
  schedulerClass,
  schedulerNames,
  ScoreSdeVeScheduler,
  disposeState,
  type FlaxDiffusionScheduler,
} from "../../src/schedulers/index.js";
import { Generator } from "../../src/tensor/random.js";
import { PRNGKey } from "../../src/tensor/random_jax.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { readFixtureJSON } from "../support/files.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { neededOptions, timestepSchedulers } from "../support/schedulers.js";

type Place = "first" | "second" | "last";
type Values = number[] | null;
type Case = [name: string, steps: number | null, time: Place | number, first: Values, second: Values];
const PLACES = { first: 0, second: 1, last: -1 };
const SHAPE = [1, 4, 1, 1];
const sample = async (): Promise<Tensor> => Tensor.from([0.5, -1, 0.25, 2], SHAPE, { device: await testDevice() });
const output = async (): Promise<Tensor> => Tensor.from([0.1, 0.2, -0.3, 0.4], SHAPE, { device: await testDevice() });

/** At the clean end 1 - ᾱ is 1e-4 in Python's float32, of which the last digits are lost; FlaxDDPM divides by that. */
const TOLERANCE = { torch: 1e-4, jax: 4e-4 };

/** A step from a sample to the next; what else it makes is the step's own affair. */
type Step = (modelOutput: Tensor, x: Tensor) => Tensor;

/** Takes the two steps of a case; where Python raises there must be an error. NaN is not compared. */
async function check([name, steps, time, ...expected]: Case, step: Step): Promise<void> {
  const tolerance = name.startsWith("Flax") ? TOLERANCE.jax : TOLERANCE.torch;
  const modelOutput = await output();
  let x = await sample();
  const end = expected.findIndex((values) => !values?.length);
  for (const values of expected.slice(0, end < 0 ? undefined : end)) {
    const next = step(modelOutput, x);
    x.dispose();
    x = next;
    const message = `${name}, ${steps} steps, timestep ${time}`;
    Array.from(await x.data()).forEach((got, i) => {
      const wanted = values![i];
      expect(Math.abs(got - wanted), `${message}: ${got}, not ${wanted}`).toBeLessThan(
        tolerance * Math.max(1, Math.abs(wanted)),
      );
    });
  }
  if (end >= 0 && !expected[end])
    expect(() => step(modelOutput, x), `${name}, ${steps} steps, timestep ${time}`).toThrow(/\w+Scheduler/);
  for (const tensor of [x, modelOutput]) tensor.dispose();
}

const cases = await readFixtureJSON<Case[]>("schedulers/off_schedule.json");
const flaxCases = await readFixtureJSON<Case[]>("schedulers/off_schedule_flax.json");

describe("timesteps off the schedule", () => {
  checkLeaks();

  test("all classes are compared", () => {
    expect([...new Set(cases.map(([name]) => name))].sort()).toEqual(timestepSchedulers());
  });

  for (const name of timestepSchedulers())
    test(name, async () => {
      for (const entry of cases.filter((other) => other[0] === name)) {
        const [, steps, time] = entry;
        const Class = schedulerClass(name);
        const scheduler = Class.fromConfig(name === "DPMSolverSDEScheduler" ? { noise_sampler_seed: 0 } : {});
        if (steps) scheduler.setTimesteps(steps);
        if (steps && scheduler instanceof ScoreSdeVeScheduler) scheduler.setSigmas(steps);
        const t = typeof time === "number" ? time : (scheduler.timesteps.at(PLACES[time]) ?? 0);
        const generator = new Generator("cpu").manualSeed(0);
        await check(entry, (modelOutput, x) => {
          const { options, dispose } = neededOptions(name, x);
          try {
            const { prevSample, ...others } = scheduler.step(modelOutput, t, x, { ...options, generator });
            for (const other of Object.values(others) as Tensor[]) other.dispose();
            return prevSample;
          } finally {
            dispose();
          }
        });
        scheduler.reset();
      }
    });

  for (const name of new Set(flaxCases.map(([name]) => name)))
    test(name, async () => {
      for (const entry of flaxCases.filter((other) => other[0] === name)) {
        const [, steps, time] = entry;
        const scheduler = findFlaxScheduler(name)!.fromConfig({}) as FlaxDiffusionScheduler;
        const unset = scheduler.createState();
        let state = steps ? scheduler.setTimesteps(unset, steps) : unset;
        const t = typeof time === "number" ? time : state.timesteps.at(PLACES[time])!;
        // There Python's FlaxDDPM leads to t - 1, ours to the schedule's next.
        if (name === "FlaxDDPMScheduler" && steps && state.timesteps.includes(t) && t > 0) continue;
        await check(entry, (modelOutput, x) => {
          const result = scheduler.step(state, modelOutput, t, x, { key: PRNGKey(0) });
          disposeState(state, result.state);
          state = result.state;
          return result.prevSample;
        });
        disposeState(state);
      }
    });

  test("noise is added at the last level by the classes that step from there", async () => {
    const [x, noise] = [await sample(), await output()];
    const scheduler = new DPMSolverMultistepScheduler();
    scheduler.setTimesteps(10);
    const noisy = scheduler.addNoise(x, noise, 555);
    const wanted = [0.5054, -0.8814, 0.1394, 2.0218];
    expect(Array.from(await noisy.data()).map((v) => Number(v.toFixed(4)))).toEqual(wanted);
    for (const tensor of [x, noise, noisy]) tensor.dispose();
  });

  test("what is no timestep is refused, before it counts as one beside the schedule", async () => {
    const [x, modelOutput] = [await sample(), await output()];
    for (const name of timestepSchedulers())
      for (const t of [NaN, Infinity, undefined] as number[]) {
        const scheduler = schedulerClass(name).fromConfig({});
        scheduler.setTimesteps(4);
        expect(() => scheduler.step(modelOutput, t, x), `${name} ${t}`).toThrow(/not in the schedule|whole numbers/);
        scheduler.reset();
      }
    const euler = new EulerDiscreteScheduler();
    expect(() => euler.step(modelOutput, "1" as never, x)).toThrow(/timestep 1 is not in the schedule/);
    const flax = new FlaxDPMSolverMultistepScheduler();
    const state = flax.setTimesteps(flax.createState(), 4);
    expect(() => flax.step(state, modelOutput, NaN, x)).toThrow(/whole numbers from 0 to 999, got NaN/);
    for (const tensor of [x, modelOutput]) tensor.dispose();
  });

  test("constructors that make a schedule say so, as diffusers' do", () => {
    const names = schedulerNames().filter((name) => schedulerClass(name).fromConfig({}).numInferenceSteps === 1000);
    expect(names).toEqual([
      "DPMSolverSDEScheduler",
      "HeunDiscreteScheduler",
      "IPNDMScheduler",
      "KDPM2AncestralDiscreteScheduler",
      "KDPM2DiscreteScheduler",
      "LMSDiscreteScheduler",
    ]);
    expect(new EulerDiscreteScheduler().numInferenceSteps).toBe(null);
  });

  test("DDPM knows no timestep after one that is not in its schedule", () => {
    const scheduler = new DDPMScheduler();
    expect(scheduler.previousTimestep(556)).toBe(555);
    scheduler.setTimesteps(10);
    expect(scheduler.previousTimestep(900)).toBe(800);
    expect(() => scheduler.previousTimestep(556)).toThrow(/timestep 556 is not in the schedule/);
  });
});
