import { describe, expect, test } from "vitest";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import {
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  EulerDiscreteScheduler,
  findFlaxScheduler,
  flaxSchedulerNames,
  FlowMatchLCMScheduler,
  HeunDiscreteScheduler,
  KARRAS_SCHEDULERS,
  PNDMScheduler,
  schedulerClass,
  schedulerNames,
  ScoreSdeVeScheduler,
  UniPCMultistepScheduler,
} from "../../src/schedulers/index.js";
import { readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { timestepSchedulers } from "../support/schedulers.js";
import { prepare, type Trajectory } from "../support/trajectories.js";

const zeros = async (shape: number[]): Promise<Tensor> =>
  Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, { device: await testDevice() });

describe("errors", () => {
  test("what diffusers rejects is rejected: in the constructor, setTimesteps or step", async () => {
    const { cases } = await readFixtureJSON<{ cases: Trajectory[] }>("schedulers/trajectories/errors.json");
    const x = await zeros([1, 4, 2, 2]);
    expect(cases.length).toBe(32);
    for (const trajectory of cases)
      expect(() => {
        const scheduler = prepare(trajectory);
        scheduler.step(x, scheduler.timesteps[0], x, {});
      }).toThrow(/must|cannot|more than/);
    x.dispose();
  });

  test("step with other shapes", async () => {
    const x = await zeros([1, 4, 2, 2]);
    const y = await zeros([1, 4, 2, 4]);
    for (const name of timestepSchedulers()) {
      const Class = schedulerClass(name);
      const scheduler = new Class();
      scheduler.setTimesteps(4);
      expect(() => scheduler.step(x, scheduler.timesteps[0], y)).toThrow(
        /same shape, got \[1, 4, 2, 2\] and \[1, 4, 2, 4\]/,
      );
      scheduler.reset();
    }
    x.dispose();
    y.dispose();
  });

  test("step without tensors", async () => {
    const x = await zeros([1, 4, 2, 2]);
    const numbers = [1, 2] as never;
    for (const name of timestepSchedulers()) {
      const scheduler = schedulerClass(name).fromConfig({});
      scheduler.setTimesteps(4);
      const step = (output: Tensor, sample: Tensor) => () => scheduler.step(output, scheduler.timesteps[0], sample);
      expect(step(numbers, x), name).toThrow(
        `${name}.step: model output must be a Tensor, got [1, 2]; wrap it: Tensor.from(data, shape)`,
      );
      expect(step(x, numbers), name).toThrow(`${name}.step: sample must be a Tensor, got [1, 2]`);
    }
    x.dispose();
  });

  test("what setTimesteps is given besides numbers", () => {
    for (const name of schedulerNames()) {
      const set =
        (...args: unknown[]) =>
        () =>
          schedulerClass(name)
            .fromConfig({})
            .setTimesteps(...(args as [number]));
      expect(set("5"), name).toThrow(/numInferenceSteps must be a whole number from 1 to .*, got "5"$/);
      expect(set({ numInferenceSteps: 4 }), name).toThrow(/got \{ numInferenceSteps: 4 \}$/);
      for (const device of ["cuda", ["cuda"]])
        expect(set(5, device), name).toThrow(/options must be an object such as .*; there is no device to give$/);
      set(5, null)();
      set(5, undefined)();
    }
    const euler = new EulerDiscreteScheduler();
    expect(() => euler.setTimesteps(null, { sigmas: [5, NaN] })).toThrow(
      /^EulerDiscreteScheduler\.setTimesteps: sigmas must be finite numbers, got NaN at 1$/,
    );
    expect(() => euler.setTimesteps(null, { timesteps: ["9"] as never })).toThrow(/timesteps must be .*got "9" at 0$/);
    expect(() => euler.setTimesteps(null, { timesteps: 9 as never })).toThrow(/must be a list of numbers, got 9$/);
    euler.setTimesteps(null, { timesteps: Float32Array.of(900, 100) as never });
    expect(euler.timesteps).toEqual([900, 100]);
  });

  test("a step after the last", async () => {
    const x = await zeros([1, 4, 2, 2]);
    const scheduler = new EulerDiscreteScheduler();
    scheduler.setTimesteps(1);
    const made = [scheduler.step(x, scheduler.timesteps[0], x)];
    expect(() => scheduler.step(x, scheduler.timesteps[0], x)).toThrow(/schedule of 1 timesteps is done/);
    for (const { prevSample, predOriginalSample } of made)
      [prevSample, predOriginalSample].forEach((t) => t?.dispose());
    x.dispose();
  });

  test("numbers of steps that cannot be", () => {
    for (const name of schedulerNames())
      for (const n of [0, -1, 2.5, NaN, null]) {
        const Class = schedulerClass(name);
        expect(() => new Class().setTimesteps(n)).toThrow(/setTimesteps/);
      }
    expect(() => new DDIMScheduler().setTimesteps(1001)).toThrow(/from 1 to num_train_timesteps, 1000, got 1001/);
    expect(() => new PNDMScheduler().setTimesteps(3)).toThrow(/at least 4 steps, got 3/);
  });

  /** The classes that diffusers bounds by num_train_timesteps; the others go on beyond it. */
  const BOUNDED = [
    "CMStochasticIterative",
    "CogVideoXDDIM",
    "CogVideoXDPM",
    "DDIMInverse",
    "DDIM",
    "DDIMParallel",
    "DDPM",
    "DDPMParallel",
    "LCM",
    "SCM",
    "TCD",
  ].map((name) => `${name}Scheduler`);

  test("more steps than the training has, where diffusers refuses them", () => {
    const makes = (name: string, n: number) => (): void => schedulerClass(name).fromConfig({}).setTimesteps(n);
    for (const name of schedulerNames()) {
      if (BOUNDED.includes(name))
        expect(makes(name, 1001), name).toThrow(/from 1 to num_train_timesteps, \d+, got 1001/);
      else makes(name, 1001)();
      expect(makes(name, 1e7), name).toThrow(
        /setTimesteps: numInferenceSteps must be a whole number from 1 to \D*\d+, got 10000000/,
      );
    }
    for (const name of flaxSchedulerNames()) {
      const scheduler = findFlaxScheduler(name)!.fromConfig({});
      scheduler.setTimesteps(scheduler.createState(), 1001);
      expect(() => scheduler.setTimesteps(scheduler.createState(), 1e7), name).toThrow(
        /from 1 to 100000, got 10000000/,
      );
    }
    // The training's own number is no absurd one.
    expect(new HeunDiscreteScheduler({ num_train_timesteps: 120_000 }).timesteps.length).toBe(239_999);
  });

  test("more steps than the training has, where diffusers goes on", async () => {
    const x = Tensor.from([0.5, -1, 0.25, 2], [1, 4, 1, 1], { device: await testDevice() });
    const output = Tensor.from([0.1, 0.2, -0.3, 0.4], [1, 4, 1, 1], { device: await testDevice() });
    // x[0] after three steps of 1001 with the seed 0: diffusers 0.42.1.
    const wanted = {
      PNDM: 0.5,
      LMSDiscrete: 0.031056,
      EulerDiscrete: 0.031056,
      EulerAncestralDiscrete: -5.6378,
      HeunDiscrete: 0.46982,
      KDPM2Discrete: 0.47733,
      DPMSolverMultistep: 0.51229,
      DPMSolverSinglestep: 0.51229,
      DEISMultistep: 0.51229,
      UniPCMultistep: 0.51229,
      SASolver: 0.51229,
      IPNDM: 0.49954,
      EDMEuler: 0.49268,
      FlowMatchEulerDiscrete: 0.4997,
      FlowMatchLCM: -0.72064,
      UnCLIP: -0.64409,
    };
    for (const [name, value] of Object.entries(wanted)) {
      const scheduler = schedulerClass(`${name}Scheduler`).fromConfig({});
      scheduler.setTimesteps(1001);
      const generator = new Generator("cpu").manualSeed(0);
      let current = x;
      for (const t of scheduler.timesteps.slice(0, 3)) {
        const { prevSample, ...others } = scheduler.step(output, t, current, { generator });
        for (const tensor of [...(Object.values(others) as Tensor[]), ...(current === x ? [] : [current])])
          tensor.dispose();
        current = prevSample;
      }
      const [first] = await current.data();
      expect(Math.abs(first - value), `${name}: ${first}, not ${value}`).toBeLessThan(
        1e-4 * Math.max(1, Math.abs(value)),
      );
      current.dispose();
      scheduler.reset();
    }
    for (const tensor of [x, output]) tensor.dispose();
  });

  test("schedules of one's own, where a class takes none", () => {
    // The words of diffusers' retrieve_timesteps.
    for (const name of ["PNDM", "LMSDiscrete", "EulerAncestralDiscrete", "DDIM"])
      expect(() =>
        schedulerClass(`${name}Scheduler`)
          .fromConfig({})
          .setTimesteps(null, { timesteps: [900, 100] }),
      ).toThrow(
        new RangeError(
          `The current scheduler class ${name}Scheduler's \`setTimesteps\` does not support custom timestep schedules. ` +
            "Please check whether you are using the correct scheduler.",
        ),
      );
    expect(() => new DDPMScheduler().setTimesteps(null, { sigmas: [1, 0] })).toThrow(
      new RangeError(
        "The current scheduler class DDPMScheduler's `setTimesteps` does not support custom sigmas schedules. Please " +
          "check whether you are using the correct scheduler. DDPMScheduler takes timesteps.",
      ),
    );
    expect(() => new DDPMScheduler().setTimesteps(4, { strength: 1 })).toThrow(
      /does not take strength, only timesteps$/,
    );
    expect(() => new DDPMScheduler().setTimesteps(2, { timesteps: [900, 100] })).toThrow(/got both/);
    expect(() => new UniPCMultistepScheduler().setTimesteps(null, { sigmas: [1, 0.5] })).toThrow(/use_flow_sigmas/);
    expect(() => new DPMSolverMultistepScheduler().setTimesteps(4, { mu: 1 })).toThrow(/mu needs use_dynamic_shifting/);
  });

  test("combinations without a finite result", () => {
    const noise = { algorithm_type: "dpmsolver" };
    expect(() => new DPMSolverMultistepScheduler(noise)).toThrow(/final_sigmas_type "zero".*"dpmsolver".*"sigma_min"/);
    // As in diffusers, by the algorithm's own name, although it is translated; a live swap leaves the default behind.
    const deis = new DEISMultistepScheduler();
    const get = (config: object, key: string): unknown => (config as Record<string, unknown>)[key];
    for (const name of [
      "DPMSolverMultistepScheduler",
      "DPMSolverSinglestepScheduler",
      "EDMDPMSolverMultistepScheduler",
    ]) {
      const saved = JSON.parse(deis.toJsonString()) as object;
      expect(() => schedulerClass(name).fromConfig(saved)).toThrow(/final_sigmas_type "zero".*"deis"/);
      const swapped = schedulerClass(name).fromConfig(saved, { final_sigmas_type: "sigma_min" });
      expect(get(swapped.config, "algorithm_type")).toBe("dpmsolver++");
      expect(get(schedulerClass(name).fromConfig(deis.config).config, "final_sigmas_type")).toBe("zero");
    }
    const euler = JSON.parse(new EulerDiscreteScheduler().toJsonString()) as object;
    for (const name of ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "CMStochasticIterativeScheduler"])
      expect(() => schedulerClass(name).fromConfig(euler)).toThrow(/sigma_min and sigma_max must be numbers, got null/);
    expect(() => ScoreSdeVeScheduler.fromConfig(euler)).toThrow(/must be numbers/);
    expect(() => new DPMSolverMultistepScheduler({ solver_order: 4 })).toThrow(/solver_order must be 1, 2 or 3, got 4/);
    expect(() => new FlowMatchLCMScheduler({ scale_factors: [0.5] })).toThrow(/scale_factors.*0.5/);
  });

  test("every class of the Stable Diffusion family is there", () => {
    for (const name of KARRAS_SCHEDULERS) expect(schedulerClass(name).className).toBe(name);
  });
});
