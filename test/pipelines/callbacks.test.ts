import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  Generator,
  HeunDiscreteScheduler,
  MultiPipelineCallbacks,
  PipelineCallback,
  PNDMScheduler,
  SDCFGCutoffCallback,
  Tensor,
  type CallbackTensors,
  type StableDiffusionOptions,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { differences, loadRepo } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

let pipeline: StableDiffusionPipeline;
beforeAll(async () => void (pipeline = await loadRepo("sd15")));
beforeEach(() => void (pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config)));
afterAll(() => pipeline.dispose());

const draw = async (options: object, prompt: string | string[] = "a photo of a cat"): Promise<Float32Array> => {
  const { images } = await pipeline(prompt, {
    numInferenceSteps: 5,
    height: 16,
    width: 24,
    generator: new Generator("cpu").manualSeed(8),
    ...(options as StableDiffusionOptions),
    outputType: "latent",
  });
  const values = (await images.data()) as Float32Array;
  images.dispose();
  return values;
};

describe("callback and callbackSteps, as calls had them before", () => {
  // diffusers 0.42.1: pipe("a cat", num_inference_steps=…, callback=lambda i, t, latents: …, callback_steps=…)
  for (const [Class, steps, every, expected] of [
    [PNDMScheduler, 4, 1, ["1: 501", "2: 501", "3: 251", "4: 1"]],
    [PNDMScheduler, 4, 2, ["2: 501", "4: 1"]],
    [HeunDiscreteScheduler, 3, 1, ["0: 334", "1: 1", "2: 1"]],
    [HeunDiscreteScheduler, 3, 2, ["2: 1"]],
    [DDIMScheduler, 3, 2, ["0: 667", "2: 1"]],
  ] as const)
    test(`${Class.className}, every ${every} of ${steps} steps`, async () => {
      pipeline.scheduler = (Class as unknown as typeof PNDMScheduler).fromConfig(pipeline.scheduler.config);
      const seen: string[] = [];
      const callback = async (step: number, timestep: number, latents: Tensor): Promise<void> => {
        expect([latents.shape, (await latents.data()).length]).toEqual([[1, 4, 2, 3], 24]);
        seen.push(`${step}: ${Math.round(timestep)}`);
      };
      const options = { num_inference_steps: steps, numInferenceSteps: undefined, callback, callback_steps: every };
      const said = await warnings(() => draw(options));
      expect(seen).toEqual(expected);
      expect(said).toEqual(
        ["callback", "callbackSteps"].map(
          (name) =>
            `\`${name}\` is deprecated and will be removed in version 1.0.0. Passing \`${name}\` as an option of a call is ` +
            "deprecated, consider using `callbackOnStepEnd`",
        ),
      );
    });

  test("every step by default; null is none; other values are refused", async () => {
    let calls = 0;
    await warnings(() => draw({ callback: () => void calls++, callbackSteps: null }));
    expect(calls).toBe(5);
    expect(await warnings(() => draw({ callback: null, callbackSteps: null }))).toEqual([]);
    await expect(draw({ callback: 5 })).rejects.toThrow("`callback` must be a function, got 5");
    await expect(draw({ callbackSteps: 0 })).rejects.toThrow("`callbackSteps` must be a positive integer, got 0");
    await expect(warnings(() => draw({ callback: () => Promise.reject(new Error("stop here")) }))).rejects.toThrow(
      "stop here",
    );
  });
});

// What diffusers 0.42.1 gives with callback_on_step_end=SDCFGCutoffCallback(…), five steps of DDIM, seed 8.
const AT_2 = [
  -2.75024, 6.79677, 11.00917, 2.00505, 2.07003, 7.63744, 10.31872, 8.34365, 5.9432, 2.13989, -0.99376, 2.9763,
];
const AT_1 = [
  -2.92297, 6.67735, 10.82805, 2.03349, 1.98192, 7.6413, 9.90293, 7.94241, 5.69903, 1.71879, -1.00922, 3.26691,
];

class Noted extends PipelineCallback {
  readonly seen: string[] = [];
  constructor(readonly tensorInputs: (keyof CallbackTensors)[]) {
    super();
  }
  override callbackFn(_: StableDiffusionPipeline, step: number, __: number, tensors: CallbackTensors): CallbackTensors {
    this.seen.push(`${step}: ${Object.keys(tensors).join()} ${tensors.prompt_embeds?.shape[0] ?? ""}`);
    return {};
  }
}

/** Gives the latents anew, each time in another tensor. */
class Copied extends PipelineCallback {
  readonly tensorInputs = ["latents"] as const;
  override async callbackFn(
    ...[, , , { latents }]: Parameters<PipelineCallback["callbackFn"]>
  ): Promise<CallbackTensors> {
    return { latents: Tensor.from(await latents!.data(), latents!.shape) };
  }
}

describe("PipelineCallback", () => {
  for (const [options, expected] of [
    [{ cutoffStepRatio: 0.4 }, AT_2],
    [{ cutoffStepRatio: 0.599 }, AT_2],
    [{ cutoffStepIndex: 1 }, AT_1],
    [{ cutoff_step_index: 1, cutoff_step_ratio: null }, AT_1],
  ] as const)
    test(`the guidance ends, ${JSON.stringify(options)}`, async () => {
      const callbackOnStepEnd = new SDCFGCutoffCallback(options as object);
      const values = (await draw({ callbackOnStepEnd })).subarray(0, 12);
      expect(differences(values, expected).worst).toBeLessThan(1e-3); // a standard deviation is 4
      expect(pipeline.guidanceScale).toBe(0);
    });

  test("for several pictures, too, and not where there is no guidance or no such step", async () => {
    const callbackOnStepEnd = new SDCFGCutoffCallback({ cutoffStepRatio: 0.4 });
    const generator = [8, 9].map((seed) => new Generator("cpu").manualSeed(seed));
    const both = await draw({ callbackOnStepEnd, generator }, ["a photo of a cat", "a dog"]);
    expect(differences(both.subarray(0, 12), AT_2).worst).toBeLessThan(1e-3);
    for (const options of [{ guidanceScale: 1 }, {}])
      expect(await draw({ ...options, callbackOnStepEnd: new SDCFGCutoffCallback() })).toEqual(await draw(options));
    expect(await draw({ guidanceScale: 1, callbackOnStepEnd })).toEqual(await draw({ guidanceScale: 1 }));
  });

  test("several, one after another, each with what those before it gave", async () => {
    const noted = new Noted(["prompt_embeds"]);
    const callbackOnStepEnd = new MultiPipelineCallbacks([
      new Copied(),
      new Copied(),
      new SDCFGCutoffCallback({ cutoffStepIndex: 1 }),
      noted,
    ]);
    expect(callbackOnStepEnd.tensorInputs).toEqual(["latents", "prompt_embeds"]);
    const { device } = pipeline;
    const live = (): number => device.memoryUse.buffers - device.memoryUse.pooledBuffers;
    await draw({ callbackOnStepEnd: new SDCFGCutoffCallback({ cutoffStepIndex: 1 }) }); // makes what weights keep
    const before = live();
    const values = await draw({ callbackOnStepEnd, numInferenceSteps: 5 });
    expect(differences(values.subarray(0, 12), AT_1).worst).toBeLessThan(1e-3);
    expect(noted.seen).toEqual([2, 1, 1, 1, 1].map((rows, step) => `${step}: latents,prompt_embeds ${rows}`));
    expect(live()).toBe(before);
  });

  test("one that throws leaves nothing of those before it, and one that wants what there is not is refused", async () => {
    const { device } = pipeline;
    const failing = new (class extends Copied {
      override callbackFn(): never {
        throw new Error("from the last one");
      }
    })();
    await draw({ callbackOnStepEnd: new Copied() });
    const before = device.memoryUse.buffers - device.memoryUse.pooledBuffers;
    const callbackOnStepEnd = new MultiPipelineCallbacks([new Copied(), new Copied(), failing]);
    await expect(draw({ callbackOnStepEnd })).rejects.toThrow("from the last one");
    expect(device.memoryUse.buffers - device.memoryUse.pooledBuffers).toBe(before);
    for (const wanted of [["noise"], undefined])
      await expect(draw({ callbackOnStepEnd: new Noted(wanted as never) })).rejects.toThrow(
        "`callbackOnStepEndTensorInputs` must be",
      );
  });

  test("refuses both options, or none, and a ratio that is none", () => {
    const make = (options: object) => () => new SDCFGCutoffCallback(options);
    const either = "Either cutoffStepRatio or cutoffStepIndex should be provided, not both or none.";
    expect(make({ cutoffStepRatio: 0.5, cutoffStepIndex: 1 })).toThrow(either);
    expect(make({ cutoffStepRatio: null })).toThrow(either);
    for (const ratio of [-0.1, 1.1, NaN])
      expect(make({ cutoffStepRatio: ratio })).toThrow(
        `cutoffStepRatio must be a number between 0 and 1, got ${ratio}`,
      );
  });
});
