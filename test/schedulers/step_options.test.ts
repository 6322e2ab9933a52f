import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  DDPMScheduler,
  EulerDiscreteScheduler,
  FlowMatchEulerDiscreteScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  schedulerClass,
  ScoreSdeVeScheduler,
  type Scheduler,
  type StepOptions,
} from "../../src/schedulers/index.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { checkLeaks, take, testDevice } from "../support/gpu.js";
import { neededOptions, timestepSchedulers } from "../support/schedulers.js";

const SHAPE = [2, 4, 4, 4];
const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);

let x: Tensor;
beforeAll(async () => void (x = Tensor.from(seeded(1).randn(SHAPE), SHAPE, { device: await testDevice() })));
afterAll(() => x.dispose());

const ready = (name: string): Scheduler => {
  const scheduler = schedulerClass(name).fromConfig(name === "DPMSolverSDEScheduler" ? { noise_sampler_seed: 0 } : {});
  scheduler.setTimesteps(4);
  return scheduler;
};

/** The first step's sample with options of whatever kind. */
async function stepped(scheduler: Scheduler, options?: unknown): Promise<Float32Array> {
  const needed = neededOptions(scheduler.className, x);
  const results = scheduler.step(x, scheduler.timesteps[0], x, { ...needed.options, ...(options as StepOptions) });
  needed.dispose();
  const { prevSample, ...others } = results;
  for (const other of Object.values(others) as Tensor[]) other.dispose();
  scheduler.reset();
  return take(prevSample);
}

describe("options of step", () => {
  checkLeaks();

  test("a name that no scheduler has is refused by all, and names of others are ignored", async () => {
    for (const name of timestepSchedulers()) {
      const scheduler = ready(name);
      const wrong = (options: object) => () => scheduler.step(x, scheduler.timesteps[0], x, options as StepOptions);
      expect(wrong({ noise: x }), name).toThrow(
        new RegExp(`^${name}\\.step: has no option noise \\(there are eta, .*generator\\)$`),
      );
      expect(wrong({ return_dict: false }), name).toThrow(TypeError);
      expect(wrong({ sChrun: 5 }), name).toThrow(/has no option sChrun/);
      // Euler's, LMS's, DDIM's; the classes that know them take these values for their defaults.
      const plain = await stepped(scheduler, { generator: seeded(2) });
      const usual = { sChurn: 0, s_noise: 1, order: 4, use_clipped_model_output: false, prevTimestep: null };
      expect(await stepped(ready(name), { generator: seeded(2), ...usual }), name).toEqual(plain);
      scheduler.reset();
    }
  });

  test("Python's spelling is taken", async () => {
    const noise = Tensor.from(seeded(5).randn(SHAPE), SHAPE, { device: await testDevice() });
    const ddim = ready("DDIMScheduler");
    const wanted = await stepped(ddim, { eta: 1, varianceNoise: noise });
    expect(await stepped(ddim, { eta: 1, variance_noise: noise })).toEqual(wanted);
    const euler = ready("EulerDiscreteScheduler");
    const churned = await stepped(euler, { sChurn: 5, generator: seeded(3) });
    expect(await stepped(euler, { s_churn: 5, generator: seeded(3) })).toEqual(churned);
    expect(await stepped(euler, { generator: seeded(3) })).not.toEqual(churned);
    noise.dispose();
  });

  test("null stands for no options, and for none of one", async () => {
    for (const name of timestepSchedulers().filter((other) => other !== "RePaintScheduler")) {
      const scheduler = ready(name);
      for (const tensor of Object.values(scheduler.step(x, scheduler.timesteps[0], x, null)) as Tensor[])
        tensor.dispose();
      scheduler.reset();
    }
    const [lms, euler] = [new LMSDiscreteScheduler(), new EulerDiscreteScheduler()];
    for (const scheduler of [lms, euler]) {
      scheduler.setTimesteps(4);
      const none = { order: null, sChurn: null, sTmin: null, sTmax: null, sNoise: null, generator: null };
      expect(await stepped(scheduler, none)).toEqual(await stepped(scheduler));
    }
    const ve = new ScoreSdeVeScheduler();
    ve.stepCorrect(x, x, null).prevSample.dispose();
  });

  test("values of the wrong type are named, and what is no object of options", () => {
    const generator = seeded(3);
    const cases: [options: unknown, message: string][] = [
      [{ eta: 1, generator: {} }, "`generator` must be a Generator or a list of them, got {}"],
      [{ generator: [5] }, "`generator` must be a Generator or a list of them, got [5]"],
      [{ eta: "1" }, 'eta must be a number, got "1"'],
      [{ sChurn: NaN }, "sChurn must be a number, got NaN"],
      [{ useClippedModelOutput: "yes" }, 'useClippedModelOutput must be true or false, got "yes"'],
      [{ varianceNoise: [1, 2] }, "varianceNoise must be a Tensor, got [1, 2]; wrap it: Tensor.from(data, shape)"],
      [{ perTokenTimesteps: [1, 2] }, "perTokenTimesteps must be lists of numbers, one per sample, got [1, 2]"],
      [generator, "options must be an object such as { generator }, got Generator"],
      [0.5, "options must be an object such as { generator }, got 0.5"],
      [[generator], "options must be an object such as { generator }, got [Generator]"],
    ];
    for (const name of ["DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"]) {
      const scheduler = ready(name);
      for (const [options, message] of cases)
        expect(() => scheduler.step(x, scheduler.timesteps[0], x, options as StepOptions), name).toThrow(
          new TypeError(`${name}.step: ${message}`),
        );
    }
  });
});

describe("timesteps of addNoise", () => {
  test("what is no list of numbers is named", async () => {
    const device = await testDevice();
    const times = Tensor.from(Int32Array.of(10, 900), [2], { device });
    const schedulers = [new DDIMScheduler(), new DDPMScheduler(), new PNDMScheduler(), new EulerDiscreteScheduler()];
    for (const scheduler of schedulers) {
      const add = (sample: unknown, noise: unknown, t: unknown) => () =>
        scheduler.addNoise(sample as Tensor, noise as Tensor, t as number);
      const where = `${scheduler.className}.addNoise: `;
      const wanted = `${where}timesteps must be a number or a list of numbers, got `;
      expect(add(x, x, times)).toThrow(
        new TypeError(`${wanted}Tensor(int32 [2]); read it first: await timesteps.data()`),
      );
      expect(add(x, x, "10")).toThrow(new TypeError(`${wanted}"10"`));
      expect(add(x, x, [10, null])).toThrow(new TypeError(`${wanted}[10, null]`));
      expect(add(x, x, undefined)).toThrow(new TypeError(`${wanted}undefined`));
      expect(add(x, x, [])).toThrow(`${where}needs one timestep, or one for each of 2 samples, got 0`);
      expect(add(x, x, [10, 10, 10])).toThrow(/one for each of 2 samples, got 3$/);
      expect(add([1, 2], x, 10)).toThrow(`${where}sample must be a Tensor, got [1, 2]`);
      expect(add(x, null, 10)).toThrow(`${where}noise must be a Tensor, got null`);
    }
    const flow = new FlowMatchEulerDiscreteScheduler();
    expect(() => flow.scaleNoise(x, times as never, x)).toThrow(/scaleNoise: timesteps must be a number or a list/);
    const read = (await times.data()) as unknown as number[];
    const [listed, typed] = [[10, 900], read].map((t) => new DDIMScheduler().addNoise(x, x, t));
    expect(await take(typed)).toEqual(await take(listed));
    times.dispose();
  });
});

test("setTimesteps takes Python's spelling, too, and refuses both at once", () => {
  for (const [name, steps, own, python] of [
    ["LCMScheduler", 4, { originalInferenceSteps: 10 }, { original_inference_steps: 10 }],
    ["ScoreSdeVeScheduler", 5, { samplingEps: 0.01 }, { sampling_eps: 0.01 }],
  ] as const) {
    const [a, b, plain] = [own, python, {}].map((options: object) => {
      const scheduler = schedulerClass(name).fromConfig({});
      scheduler.setTimesteps(steps, options);
      return scheduler.timesteps;
    });
    expect(b).toEqual(a);
    expect(a).not.toEqual(plain);
    const both: object = { ...own, ...python };
    expect(() => schedulerClass(name).fromConfig({}).setTimesteps(steps, both)).toThrow(
      /^\w+\.setTimesteps: got both `/,
    );
  }
});
