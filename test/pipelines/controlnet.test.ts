import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ControlNetModel,
  Generator,
  MultiControlNetModel,
  RawImage,
  schedulerClass,
  SDCFGCutoffCallback,
  StableDiffusionControlNetPipeline,
  StableDiffusionPipeline,
  Tensor,
  type ControlNetPipelineOptions,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { kernelsRun, testDevice } from "../support/gpu.js";
import { picture, pixels, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";

/** What scripts/make_controlnet_pipeline.py wrote. */
interface Run {
  nets: "one" | "two" | "pooled";
  scheduler: string;
  image: string;
  options: Record<string, unknown>;
  shape: number[];
  images: number[];
}
const { runs } = await readFixtureJSON<{ runs: Run[] }>("pipelines/controlnet.json");

const [A, B] = [() => picture(48, 32), () => picture(61, 45)];
/** The first bytes of coloured pixels, as scripts/made_pictures.py. */
const grey = (): RawImage =>
  new RawImage(
    48,
    32,
    pixels(48, 32).filter((_, i) => i % 3 === 0),
    1,
  );
const IMAGES: Record<string, () => ControlNetPipelineOptions["image"]> = {
  "48x32": A,
  "61x45": B,
  grey,
  two: () => [A(), B()],
  nested: () => [
    [A(), B()],
    [B(), A()],
  ],
  tensor: () => tensor(50, 34, "nhwc"),
  shifted: () => tensor(48, 32, "nchw", 2, -1),
};

describe("StableDiffusionControlNetPipeline", () => {
  const pipelines = {} as Record<Run["nets"], StableDiffusionControlNetPipeline>;
  beforeAll(async () => {
    const device = await testDevice();
    const net = (config = {}): Promise<ControlNetModel> =>
      ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), { device, config });
    const [one, bgr, pooled] = await Promise.all([
      net(),
      net({ controlnet_conditioning_channel_order: "bgr" }),
      net({ global_pool_conditions: true }),
    ]);
    const folder = fixturePath("models/repos/sd15");
    pipelines.one = await StableDiffusionControlNetPipeline.fromPretrained(folder, { controlnet: one, device });
    pipelines.two = StableDiffusionControlNetPipeline.fromPipe(pipelines.one, { controlnet: [one, bgr] });
    pipelines.pooled = StableDiffusionControlNetPipeline.fromPipe(pipelines.one, { controlnet: pooled });
    for (const each of Object.values(pipelines)) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
  const dispose = (...given: unknown[]): void => {
    for (const each of given.flat()) if (each instanceof Tensor) each.dispose();
  };
  const numbers = async ({ images }: { images: Tensor }): Promise<Float32Array> => {
    const values = (await images.data()) as Float32Array;
    images.dispose();
    return values;
  };
  const few = (): Pick<ControlNetPipelineOptions, "image" | "numInferenceSteps" | "generator"> => ({
    image: A(),
    numInferenceSteps: 2,
    generator: seeded(8),
  });
  const drawn = async (options: Partial<ControlNetPipelineOptions>, pipeline = pipelines.one): Promise<Float32Array> =>
    numbers(await pipeline("a cat", { ...few(), ...options, outputType: "latent" }));

  for (const [i, { nets, scheduler, image, options, shape, images }] of runs.entries())
    test(`${i}: ${nets}, ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelines[nets];
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const {
        prompt = "a photo of a cat",
        seeds,
        freeu,
        ...given
      } = options as {
        prompt?: string;
        seeds?: number[];
        freeu?: { s1: number; s2: number; b1: number; b2: number };
      };
      if (freeu) pipeline.enableFreeu(freeu);
      const named = Object.fromEntries(Object.entries(given).map(([name, value]) => [camelCase(name), value]));
      const source = IMAGES[image]();
      const result = await pipeline(prompt, {
        numInferenceSteps: 4,
        generator: seeds ? seeds.map(seeded) : seeded(8),
        outputType: "latent",
        ...named,
        image: source,
      });
      pipeline.disableFreeu();
      pipeline.scheduler = original;
      expect(result.images.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts.
      const bound = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers(result), images).worst).toBeLessThan(bound);
      dispose(source);
    });

  test("what steers with nothing costs nothing: it is the picture without", async () => {
    const text = StableDiffusionPipeline.fromPipe(pipelines.one);
    text.setProgressBarConfig({ disable: true });
    const { image: _image, ...options } = few();
    const wanted = await numbers(await text("a cat", { ...options, height: 32, width: 48, outputType: "latent" }));
    expect(await drawn({ controlnetConditioningScale: 0 })).toEqual(wanted);
    expect(await drawn({})).not.toEqual(wanted);
  });

  test("steps are recorded once, the picture is looked at once", async () => {
    for (const options of [{}, { guessMode: true }] as const) {
      const products = async (numInferenceSteps: number): Promise<string[]> =>
        (await kernelsRun(() => drawn({ ...options, numInferenceSteps }))).filter((name) => /conv|matmul/.test(name));
      const once = await products(1);
      expect(once.length).toBeGreaterThan(50);
      expect(await products(3)).toEqual(once);
    }
  });

  test("a callback gets the picture and gives another one; guidance may end", async () => {
    for (const [nets, guessMode] of [
      ["one", true],
      ["two", false],
    ] as const) {
      const images = nets === "two" ? [A(), A()] : A();
      const shape = [guessMode ? 1 : 2, 3, 32, 48];
      const draw = (change: boolean): Promise<Float32Array> =>
        drawn(
          {
            ...{ image: images, guessMode, callbackOnStepEndTensorInputs: ["image"] },
            callbackOnStepEnd(_, step, __, { image }) {
              const list = [image].flat() as Tensor[];
              expect(list.map((each) => each.shape)).toEqual(list.map(() => shape));
              expect(list).toHaveLength(nets === "two" ? 2 : 1);
              if (!change || step !== 0) return {};
              const black = Tensor.from(new Float32Array(list[0].size), shape);
              return { image: nets === "two" ? [black, list[0]] : black };
            },
          },
          pipelines[nets],
        );
      expect(await draw(true)).not.toEqual(await draw(false));
    }
    const wrong = { callbackOnStepEnd: () => ({ image: [] }) };
    await expect(drawn(wrong)).rejects.toThrow("a Tensor for each of 1 pictures that ControlNets read, got 0");
    for (const guessMode of [false, true]) {
      const cut = new SDCFGCutoffCallback({ cutoffStepIndex: 0 });
      const ended = await drawn({ guessMode, callbackOnStepEnd: cut });
      expect(ended.every(Number.isFinite)).toBe(true);
    }
  });

  test("memory is what it was after calls, one that is aborted and one that fails", async () => {
    const { device } = pipelines.two;
    const image = [A(), A()];
    const held = (): number => {
      device.trim();
      return device.memoryUse.bytes;
    };
    const first = await drawn({ image }, pipelines.two);
    const before = held();
    const controller = new AbortController();
    const aborting = { signal: controller.signal, callbackOnStepEnd: () => controller.abort(new Error("enough")) };
    await expect(drawn({ image, ...aborting }, pipelines.two)).rejects.toThrow("enough");
    expect(held()).toBe(before);
    const latents = Tensor.from(new Float32Array(64), [1, 4, 4, 4]);
    await expect(drawn({ image, latents }, pipelines.two)).rejects.toThrow("`latents` must be [1, 4, 4, 6]");
    latents.dispose();
    await expect(drawn({ image: [A(), B()] }, pipelines.two)).rejects.toThrow(
      "the pictures of all ControlNets must have one size, got 48x32 and 56x40; give `height` and `width`",
    );
    expect(held()).toBe(before);
    expect(await drawn({ image }, pipelines.two)).toEqual(first);
  });

  test("float16 draws nearly the same", async () => {
    const { device } = pipelines.one;
    const options = { dtype: "float16", device } as const;
    const controlnet = await ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), options);
    const folder = fixturePath("models/repos/sd15");
    const half = await StableDiffusionControlNetPipeline.fromPretrained(folder, { controlnet, ...options });
    half.setProgressBarConfig({ disable: true });
    const [got, wanted] = [await drawn({ guidanceScale: 2 }, half), await drawn({ guidanceScale: 2 })];
    half.dispose();
    // As in test/pipelines/img2img.test.ts: noise is rounded to halves.
    expect(differences(got, wanted).mean).toBeLessThan(0.02);
    expect(got).not.toEqual(wanted);
  });

  const WRONG: [name: string, nets: Run["nets"], options: () => object, message: string][] = [
    ["no image", "one", () => ({ image: undefined }), "`image` must be a picture { width, height, data }"],
    ["lists of lists", "one", () => ({ image: [[A()]] }), "`image` must be a picture { width, height, data }"],
    [
      "three pictures for two prompts",
      "one",
      () => ({ prompt: ["a", "b"], image: [A(), A(), A()] }),
      "`image` must be one picture, or one for each prompt, got 3 for 2 prompts",
    ],
    [
      "a Tensor of four channels",
      "one",
      () => ({ image: Tensor.from(new Float32Array(4 * 64), [1, 4, 8, 8]) }),
      "a Tensor must have 3 channels, got Tensor(float32 [1, 4, 8, 8])",
    ],
    ["too small a picture", "one", () => ({ image: picture(7, 9) }), "`image` is too small: 7x9 pixels"],
    ["a height of no latent", "one", () => ({ height: 4 }), "`height` must be a whole number from 8 on, got 4"],
    [
      "scales for one",
      "one",
      () => ({ controlnetConditioningScale: [1] }),
      "`controlnetConditioningScale` must be a number for a single ControlNet, got [1]",
    ],
    [
      "no number as a scale",
      "one",
      () => ({ controlnetConditioningScale: "1" }),
      '`controlnetConditioningScale` must be a finite number, got "1"',
    ],
    ["a number as guessMode", "one", () => ({ guessMode: 1 }), "`guessMode` must be true or false, got 1"],
    [
      "an end before the start",
      "one",
      () => ({ controlGuidanceStart: 0.5, controlGuidanceEnd: 0.5 }),
      "`controlGuidanceStart` must be less than `controlGuidanceEnd`, got 0.5 and 0.5",
    ],
    ["a start below 0", "one", () => ({ controlGuidanceStart: -0.1 }), "`controlGuidanceStart` must be from 0 to 1"],
    [
      "an end beyond 1",
      "one",
      () => ({ controlGuidanceEnd: 1.1 }),
      "`controlGuidanceEnd` must be from 0 to 1, got 1.1",
    ],
    [
      "an unknown tensor for the callback",
      "one",
      () => ({ callbackOnStepEndTensorInputs: ["mask"] }),
      "must be of latents, prompt_embeds, negative_prompt_embeds, image, got",
    ],
    ["one picture for two", "two", () => ({}), "`image` must be a list with an entry for each of 2 ControlNets, got "],
    ["three pictures for two", "two", () => ({ image: [A(), A(), A()] }), "for each of 2 ControlNets, got 3"],
    [
      "lists that are too short",
      "two",
      () => ({ image: [[A()]] }),
      "for each of 2 ControlNets in each of its lists, got 1",
    ],
    [
      "three scales for two",
      "two",
      () => ({ image: [A(), A()], controlnetConditioningScale: [1, 1, 1] }),
      "`controlnetConditioningScale` must be a number, or one for each of 2 ControlNets, got [1, 1, 1]",
    ],
  ];
  for (const [name, nets, make, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { prompt = "a cat", ...options } = make() as { prompt?: string } & Partial<ControlNetPipelineOptions>;
      await expect(pipelines[nets](prompt, { ...few(), ...options })).rejects.toThrow(message);
      dispose(options.image);
    });

  test("a pipeline without a ControlNet says so before it loads, one with another UNet's before it draws", async () => {
    await expect(StableDiffusionControlNetPipeline.fromPretrained(fixturePath("models/repos/sd15"))).rejects.toThrow(
      "StableDiffusionControlNetPipeline: components controlnet are missing: model_index.json has none; give them, " +
        "fromPretrained(source, { controlnet })",
    );
    const none = StableDiffusionControlNetPipeline.fromPipe(pipelines.one, { controlnet: null });
    await expect(none("a cat", few())).rejects.toThrow(
      "the component `controlnet` is missing; ControlNetModel or Multi",
    );
    const text = StableDiffusionPipeline.fromPipe(pipelines.one);
    expect(() => StableDiffusionControlNetPipeline.fromPipe(text)).toThrow("components controlnet are missing");
    const { config } = pipelines.one.controlnet as ControlNetModel;
    const other = ControlNetModel.fromConfig(config, { cross_attention_dim: 64 });
    const misfit = StableDiffusionControlNetPipeline.fromPipe(text, { controlnet: other });
    await expect(misfit("a cat", few())).rejects.toThrow(
      "the ControlNet was trained for another UNet: its config has cross_attention_dim = 64, but this UNet 32",
    );
    expect(() => new MultiControlNetModel([])).toThrow("MultiControlNetModel: takes a list of ControlNetModels");
  });
});
