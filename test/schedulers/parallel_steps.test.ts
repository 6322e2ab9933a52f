// Samples and tokens at timesteps of their own. Goldens of scripts/make_parallel_steps.py (diffusers 0.42.1).
import { describe, expect, test } from "vitest";
import {
  DDIMParallelScheduler,
  DDIMScheduler,
  DDPMParallelScheduler,
  FlowMatchEulerDiscreteScheduler,
  KARRAS_SCHEDULERS,
} from "../../src/schedulers/index.js";
import { cast } from "../../src/tensor/ops/copy.js";
import { Generator } from "../../src/tensor/random.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { readFixtureJSON } from "../support/files.js";
import { checkLeaks, take, testDevice } from "../support/gpu.js";

interface BatchCase {
  scheduler: "DDIMParallelScheduler" | "DDPMParallelScheduler";
  config: { variance_type?: string };
  timesteps: number[];
  run: number[][];
  times: number[];
  options: { use_clipped_model_output?: boolean };
  batch: number[];
}
interface TokenCase {
  config: Record<string, unknown>;
  mu: number | null;
  per_token: number[][];
  first: number[];
  second: number[];
}
const { batches, tokens } = await readFixtureJSON<{ batches: BatchCase[]; tokens: TokenCase[] }>(
  "schedulers/parallel_steps.json",
);
const SHAPE = [3, 4, 2, 2];
const TOKENS = [2, 3, 5];
const TOLERANCE = 1e-5;

const made = async (shape: number[], of: (i: number) => number): Promise<Tensor> => {
  const size = shape.reduce((a, b) => a * b, 1);
  return Tensor.from(
    Array.from({ length: size }, (_, i) => of(i)),
    shape,
    { device: await testDevice() },
  );
};
const sample = (shape = SHAPE): Promise<Tensor> => made(shape, (i) => ((i * 37) % 64) / 16 - 2);
const output = (shape = SHAPE): Promise<Tensor> => made(shape, (i) => ((i * 23) % 32) / 16 - 1);

function close(got: Float32Array, wanted: readonly number[], what: string): void {
  expect(got.length).toBe(wanted.length);
  const largest = Math.max(1, ...wanted.map(Math.abs));
  wanted.forEach((value, i) => {
    expect(Math.abs(got[i] - value), `${what}[${i}]: ${got[i]}, not ${value}`).toBeLessThan(TOLERANCE * largest);
  });
}

describe("batchStepNoNoise", () => {
  checkLeaks();

  for (const [index, golden] of batches.entries())
    test(`${golden.scheduler} ${JSON.stringify(golden.config)}`, async () => {
      const scheduler =
        golden.scheduler === "DDIMParallelScheduler"
          ? DDIMParallelScheduler.fromConfig(golden.config as object)
          : DDPMParallelScheduler.fromConfig(golden.config as object);
      scheduler.setTimesteps(5);
      expect(scheduler.timesteps).toEqual(golden.timesteps);
      const x = await sample();
      const y = await output(golden.config.variance_type === "learned_range" ? [3, 8, 2, 2] : SHAPE);

      const generator = new Generator("cpu").manualSeed(3);
      let current = x;
      for (const [i, t] of scheduler.timesteps.entries()) {
        const { prevSample, predOriginalSample } = scheduler.step(y, t, current, { eta: 0.5, generator });
        predOriginalSample?.dispose();
        if (current !== x) current.dispose();
        current = prevSample;
        close((await current.data()) as Float32Array, golden.run[i], `case ${index}, step ${i}`);
      }
      const options = { useClippedModelOutput: golden.options.use_clipped_model_output };
      const batch =
        scheduler instanceof DDIMParallelScheduler
          ? scheduler.batchStepNoNoise(y, golden.times, x, options)
          : scheduler.batchStepNoNoise(y, golden.times, x);
      expect(batch.shape).toEqual(SHAPE);
      close(await take(batch), golden.batch, `case ${index}, batch`);
      for (const tensor of [x, y, current]) tensor.dispose();
    });

  test("one timestep for all samples is the step without noise", async () => {
    const [x, y] = [await sample(), await output()];
    const scheduler = new DDIMParallelScheduler();
    scheduler.setTimesteps(5);
    const { prevSample, predOriginalSample } = scheduler.step(y, 600, x);
    const wanted = await take(prevSample);
    for (const times of [600, [600], [600, 600, 600]])
      expect(await take(scheduler.batchStepNoNoise(y, times, x))).toEqual(wanted);
    for (const tensor of [x, y, predOriginalSample]) tensor?.dispose();
  });

  test("what it cannot take is named", async () => {
    const [x, y, other] = [await sample(), await output(), await output([3, 4, 2, 4])];
    const [ddim, ddpm] = [new DDIMParallelScheduler(), new DDPMParallelScheduler()];
    expect(() => ddim.batchStepNoNoise(y, [800], x)).toThrow(/call setTimesteps first/);
    // As in diffusers DDPM goes by the training's timesteps before.
    ddpm.batchStepNoNoise(y, [800], x).dispose();
    ddim.setTimesteps(5);
    expect(() => ddim.batchStepNoNoise(y, [800, 600], x)).toThrow(
      "DDIMParallelScheduler.batchStepNoNoise: needs one timestep, or one for each of 3 samples, got 2",
    );
    expect(() => ddim.batchStepNoNoise(y, 800, x, { eta: 1 })).toThrow(/eta must be 0, no noise is added, got 1$/);
    expect(() => ddim.batchStepNoNoise(other, 800, x)).toThrow(
      /^DDIMParallelScheduler\.batchStepNoNoise: .*same shape/,
    );
    for (const scheduler of [ddim, ddpm]) {
      const name = `${scheduler.className}.batchStepNoNoise`;
      expect(() => scheduler.batchStepNoNoise(y, [1000], x)).toThrow(/from 0 to 999, got 1000/);
      expect(() => scheduler.batchStepNoNoise([1] as never, [800], x)).toThrow(
        `${name}: model output must be a Tensor`,
      );
      expect(() => scheduler.batchStepNoNoise(y, x as never, x)).toThrow(
        `${name}: timesteps must be a number or a list`,
      );
    }
    for (const tensor of [x, y, other]) tensor.dispose();
  });

  test("configs of the Karras family go there and back; the family does not list these classes", () => {
    for (const Class of [DDIMParallelScheduler, DDPMParallelScheduler])
      expect(new Class().compatibles.map(({ className }) => className)).toEqual([
        Class.className,
        ...KARRAS_SCHEDULERS,
      ]);
    expect(new DDIMScheduler().compatibles.map(({ className }) => className)).toEqual(KARRAS_SCHEDULERS);
    const parallel = DDIMParallelScheduler.fromConfig(new DDIMScheduler({ clip_sample: false }).config);
    expect([parallel.config._class_name, parallel.config.clip_sample]).toEqual(["DDIMParallelScheduler", false]);
  });
});

describe("perTokenTimesteps of FlowMatchEuler", () => {
  checkLeaks();
  const ready = ({ config, mu }: Pick<TokenCase, "config" | "mu">): FlowMatchEulerDiscreteScheduler => {
    const scheduler = FlowMatchEulerDiscreteScheduler.fromConfig(config);
    scheduler.setTimesteps(4, mu === null ? {} : { mu });
    return scheduler;
  };
  const step = (scheduler: FlowMatchEulerDiscreteScheduler, y: Tensor, x: Tensor, perTokenTimesteps: number[][]) =>
    scheduler.step(y, scheduler.timesteps[scheduler.stepIndex ?? 0], x, {
      generator: new Generator("cpu").manualSeed(7),
      perTokenTimesteps,
    }).prevSample;

  for (const golden of tokens)
    test(JSON.stringify([golden.config, golden.mu]), async () => {
      const scheduler = ready(golden);
      const [x, y] = [await sample(TOKENS), await output(TOKENS)];
      const first = step(scheduler, y, x, golden.per_token);
      expect(first.shape).toEqual(TOKENS);
      expect(scheduler.stepIndex).toBe(1);
      close((await first.data()) as Float32Array, golden.first, "first");
      close(await take(step(scheduler, y, first, golden.per_token)), golden.second, "second");
      for (const tensor of [x, y, first]) tensor.dispose();
    });

  test("halves give float32, as in diffusers", async () => {
    const [x, y] = [await sample(TOKENS), await output(TOKENS)];
    const halves = [cast(y, "float16"), cast(x, "float16")];
    const result = step(ready(tokens[0]), halves[0], halves[1], tokens[0].per_token);
    expect(result.dtype).toBe("float32");
    close(await take(result), tokens[0].first, "halves"); // sample and output have few bits
    for (const tensor of [x, y, ...halves]) tensor.dispose();
  });

  test("numbers that are not one per token are refused", async () => {
    const [x, y, picture] = [await sample(TOKENS), await output(TOKENS), await sample()];
    const scheduler = ready(tokens[0]);
    const where = "FlowMatchEulerDiscreteScheduler.step: perTokenTimesteps ";
    expect(() => step(scheduler, y, x, [[1, 2, 3]])).toThrow(`${where}must be 2 lists of 3 numbers`);
    expect(() => step(scheduler, y, x, [[1, 2, 3], [1]])).toThrow(/\[2, 3, 5\], got 2 of 3, 1$/);
    expect(() => step(scheduler, picture, picture, [[1]])).toThrow(`${where}needs samples of tokens, [batch, tokens`);
    const strange = [
      [1, 2, "3"],
      [1, 2, 3],
    ] as number[][];
    expect(() => step(scheduler, y, x, strange)).toThrow(`${where}must be finite numbers, got "3"`);
    for (const tensor of [x, y, picture]) tensor.dispose();
  });
});
