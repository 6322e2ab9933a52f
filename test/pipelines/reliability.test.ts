import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  EulerDiscreteScheduler,
  Generator,
  schedulerClass,
  Tensor,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { loadRepo } from "../support/pipelines.js";

const PROMPT = "a photograph of an astronaut";

describe("StableDiffusionPipeline", () => {
  let pipeline: StableDiffusionPipeline;
  beforeAll(async () => {
    pipeline = await loadRepo("sd15");
  });
  afterAll(() => pipeline.dispose());

  const seeded = (seed = 8): Generator => new Generator("cpu").manualSeed(seed);
  const use = async (): Promise<[number, number]> => {
    await pipeline.device.synchronize();
    const { buffers, bytes } = pipeline.device.memoryUse;
    return [buffers, bytes];
  };

  test("one seed gives identical bytes, another seed others", async () => {
    const draw = async (seed: number): Promise<number[]> => {
      const { images } = await pipeline(PROMPT, { numInferenceSteps: 3, generator: seeded(seed) });
      return Array.from(images[0].data);
    };
    const first = await draw(8);
    expect(await draw(8)).toEqual(first);
    expect((await draw(9)).join() === first.join()).toBe(false);
  });

  test("three generations leave as many buffers and bytes as one, and as none", async () => {
    await pipeline(PROMPT, { numInferenceSteps: 2 });
    const after = await use();
    for (let i = 0; i < 3; i++) await pipeline(PROMPT, { numInferenceSteps: 2, numImagesPerPrompt: 1 + i });
    expect(await use()).toEqual(after);
    expect(pipeline.device.memoryUse.pooledBuffers).toBe(0);
  });

  test("generations under five schedulers at three sizes leave nothing, and compile nothing when they come again", async () => {
    const original = pipeline.scheduler;
    const { pipelines } = pipeline.device.queue;
    const names = ["DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep"];
    const sizes = [
      { height: 16, width: 16 },
      { height: 32, width: 16 },
      { height: 24, width: 32 },
    ];
    const before = await use();
    const round = async (): Promise<void> => {
      for (let i = 0; i < names.length * sizes.length; i++) {
        pipeline.scheduler = schedulerClass(`${names[i % 5]}Scheduler`).fromConfig(original.config);
        await pipeline(PROMPT, { numInferenceSteps: 3, ...sizes[i % 3], generator: seeded(i) });
        expect(await use(), `after generation ${i}`).toEqual(before);
      }
    };
    await round();
    const known = pipelines.size;
    expect(known).toBeGreaterThan(20);
    await round();
    expect(pipelines.size).toBe(known);
    pipeline.scheduler = original;
  });

  test("an AbortSignal stops within one step and frees everything", async () => {
    const before = await use();
    const controller = new AbortController();
    const reason = new Error("enough");
    let steps = 0;
    const run = pipeline(PROMPT, {
      numInferenceSteps: 20,
      signal: controller.signal,
      callbackOnStepEnd: () => {
        if (++steps === 2) controller.abort(reason);
      },
    });
    await expect(run).rejects.toThrow("enough");
    expect(steps).toBe(2);
    expect(await use()).toEqual(before);
    await expect(pipeline(PROMPT, { signal: controller.signal })).rejects.toThrow("enough");
  });

  for (const outputType of ["image", "np", "latent"] as const)
    test(`an AbortSignal is heard after the last step, and in the VAE: ${outputType}`, async () => {
      const before = await use();
      const inStep = new AbortController();
      const inVAE = new AbortController();
      const draw = (signal: AbortSignal, onStep: () => void): Promise<unknown> =>
        // Of the overloads each takes one of the types only.
        pipeline(PROMPT, {
          numInferenceSteps: 1,
          signal,
          outputType: outputType as "np",
          callbackOnStepEnd: onStep,
        });
      await expect(draw(inStep.signal, () => inStep.abort(new Error("enough")))).rejects.toThrow("enough");
      const { decode } = pipeline.vae;
      pipeline.vae.decode = (z) => {
        inVAE.abort(new Error("too late"));
        return decode.call(pipeline.vae, z);
      };
      try {
        const late = draw(inVAE.signal, () => undefined);
        if (outputType === "latent") ((await late) as { images: Tensor }).images.dispose();
        else await expect(late).rejects.toThrow("too late");
      } finally {
        pipeline.vae.decode = decode;
      }
      pipeline.device.trim(); // the latents, which were the test's
      expect(await use()).toEqual(before);
    });

  test("an error in the callback rejects the call and frees everything", async () => {
    const before = await use();
    const run = pipeline(PROMPT, {
      numInferenceSteps: 3,
      callbackOnStepEnd: () => {
        throw new Error("from the callback");
      },
    });
    await expect(run).rejects.toThrow("from the callback");
    expect(await use()).toEqual(before);
  });

  test("the callback sees every call of the model, and what it returns is used", async () => {
    const timesteps: number[] = [];
    const zeros = (shape: readonly number[]): Tensor =>
      Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape);
    const { images } = await pipeline(PROMPT, {
      numInferenceSteps: 5,
      outputType: "latent",
      callbackOnStepEnd: (_, step, timestep, { latents }) => {
        timesteps.push(timestep);
        return step === 5 ? { latents: zeros(latents!.shape) } : {};
      },
    });
    expect(timesteps).toEqual([...pipeline.scheduler.timesteps]); // PNDM calls the model 6 times for 5 steps
    expect(timesteps).toHaveLength(6);
    expect(Array.from(await images.data()).every((value) => value === 0)).toBe(true);
    images.dispose();
  });

  for (const flag of ["interrupt", "_interrupt"] as const)
    test(`${flag} skips the remaining steps and still decodes`, async () => {
      let steps = 0;
      const { images } = await pipeline(PROMPT, {
        numInferenceSteps: 10,
        callbackOnStepEnd: (running) => {
          steps++;
          running[flag] = true;
          expect([running.interrupt, running._interrupt]).toEqual([true, true]);
        },
      });
      expect(steps).toBe(1);
      expect(images).toHaveLength(1);
    });

  test("only the width or only the height may be given", async () => {
    const { images } = await pipeline(PROMPT, { numInferenceSteps: 1, width: 96 });
    expect([images[0].width, images[0].height]).toEqual([96, 64]);
  });

  test("swapping the scheduler keeps every key of the config", () => {
    const original = pipeline.scheduler;
    pipeline.scheduler = EulerDiscreteScheduler.fromConfig(original.config);
    expect(pipeline.scheduler.config.skip_prk_steps).toBe(true);
    expect(String(pipeline.scheduler)).toMatch(
      /^EulerDiscreteScheduler \{\n {2}"_class_name": "EulerDiscreteScheduler",/,
    );
    pipeline.scheduler = original;
  });

  test("to() knows where the pipeline is", async () => {
    expect(await pipeline.to("webgpu")).toBe(pipeline);
    expect(await pipeline.to("cuda:0")).toBe(pipeline);
    expect(await pipeline.to(pipeline.device)).toBe(pipeline);
    await expect(pipeline.to("mps")).rejects.toThrow("to use another");
  });

  const CURRENT = "The current scheduler class PNDMScheduler's `setTimesteps`";
  const CHECK = "Please check whether you are using the correct scheduler.";
  const WRONG: [string, unknown, object, string][] = [
    ["no prompt", null, {}, "Provide either `prompt` or `promptEmbeds`"],
    ["a number as prompt", 7, {}, "`prompt` has to be a string or a list of strings but is 7"],
    ["an empty list", [], {}, "`prompt` has to be a string or a list of strings"],
    ["other types of prompts", PROMPT, { negativePrompt: ["a"] }, "should be the same type to `prompt`"],
    [
      "batches of other sizes",
      ["a", "b"],
      { negativePrompt: ["a"] },
      "has batch size 1, but `prompt` has batch size 2",
    ],
    ["width 100", PROMPT, { width: 100 }, "divisible by 8 but are 64 and 100"],
    ["height 0", PROMPT, { height: 0 }, "`height` must be a positive integer, got 0"],
    ["height NaN", PROMPT, { height: NaN }, "`height` must be a positive integer, got NaN"],
    ["0 steps", PROMPT, { numInferenceSteps: 0 }, "`numInferenceSteps` must be a positive integer, got 0"],
    ["NaN steps", PROMPT, { numInferenceSteps: NaN }, "`numInferenceSteps` must be a positive integer, got NaN"],
    ["a text as height", PROMPT, { height: "64" }, '`height` must be a positive integer, got "64"'],
    ["1.5 steps", PROMPT, { numInferenceSteps: 1.5 }, "`numInferenceSteps` must be a positive integer, got 1.5"],
    [
      "ten million steps",
      PROMPT,
      { numInferenceSteps: 1e7 },
      "numInferenceSteps must be a whole number from 1 to 100000",
    ],
    ["guidance NaN", PROMPT, { guidanceScale: NaN }, "`guidanceScale` must be a finite number"],
    ["0 images", PROMPT, { numImagesPerPrompt: 0 }, "`numImagesPerPrompt` must be a positive integer"],
    [
      "clip skip beyond the layers",
      PROMPT,
      { clipSkip: 99, numInferenceSteps: 1 },
      "`clipSkip` must be below the 5 hidden states",
    ],
    ["an unknown output", PROMPT, { outputType: "jpeg" }, "`outputType` must be one of image"],
    ["timesteps and sigmas", PROMPT, { timesteps: [1], sigmas: [1] }, "Only one of `timesteps` or `sigmas`"],
    [
      "timesteps for PNDM",
      PROMPT,
      { timesteps: [999, 1] },
      `${CURRENT} does not support custom timestep schedules. ${CHECK}`,
    ],
    ["sigmas for PNDM", PROMPT, { sigmas: [14, 0] }, `${CURRENT} does not support custom sigmas schedules. ${CHECK}`],
    ["too few generators", ["a", "b"], { generator: [new Generator()] }, "generators of length 1"],
  ];
  for (const [name, prompt, options, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const before = await use();
      await expect(pipeline(prompt as string, options)).rejects.toThrow(message);
      expect(await use()).toEqual(before);
    });

  test("refuses latents of another shape", async () => {
    const latents = Tensor.from(new Float32Array(16), [1, 4, 2, 2]);
    await expect(pipeline(PROMPT, { latents })).rejects.toThrow("`latents` must be [1, 4, 8, 8]");
    latents.dispose();
  });
});
