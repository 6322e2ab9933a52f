/** Pipelines with T2I-Adapters; test/nn/t2i_adapter.test.ts has the models. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  MultiAdapter,
  RawImage,
  schedulerClass,
  SDCFGCutoffCallback,
  StableDiffusionAdapterPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLAdapterPipeline,
  StableDiffusionXLPipeline,
  type T2IAdapter,
  Tensor,
  type AdapterPipelineOptions,
  type AnyPipeline,
} from "../../src/index.js";
import { adapterTensor, checkAdapterImages } from "../../src/pipelines/t2i_adapter/adapter_images.js";
import { fixturePath } from "../support/files.js";
import { kernelsRun, testDevice } from "../support/gpu.js";
import { picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, seeded } from "../support/sdxl_pictures.js";
import { IMAGES, T2I_ADAPTER, t2iAdapter } from "../support/t2i_adapter.js";

const CLASSES = { Adapter: StableDiffusionAdapterPipeline, XLAdapter: StableDiffusionXLAdapterPipeline };
type Name = keyof typeof CLASSES;

describe("pipelines with T2I-Adapters", () => {
  const adapters = new Map<string, T2IAdapter>();
  const bases = {} as Record<Name, AnyPipeline>;
  const pipelineOf = (name: Name, names: readonly string[]): AnyPipeline => {
    const models = names.map((each) => adapters.get(each)!);
    const adapter = models.length > 1 ? models : models[0];
    const pipeline = CLASSES[name].fromPipe(bases[name], { adapter }) as unknown as AnyPipeline;
    pipeline.setProgressBarConfig({ disable: true });
    return pipeline;
  };
  beforeAll(async () => {
    const device = await testDevice();
    for (const name of Object.keys(T2I_ADAPTER.adapters)) adapters.set(name, await t2iAdapter(name, { device }));
    bases.Adapter = (await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"), {
      device,
    })) as unknown as AnyPipeline;
    bases.XLAdapter = (await StableDiffusionXLPipeline.fromPretrained(fixturePath("models/repos/sdxl"), {
      device,
    })) as unknown as AnyPipeline;
  });
  afterAll(() => {
    for (const each of [...adapters.values(), ...Object.values(bases)]) each.dispose();
  });

  for (const [i, run] of T2I_ADAPTER.runs.entries()) {
    const { pipeline: name, adapters: names, scheduler, image, options, shape } = run;
    test(`${i}: ${name}, ${names.join(" + ")}, ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelineOf(name as Name, names);
      pipeline.scheduler = schedulerClass(scheduler).fromConfig((pipeline.scheduler as { config: object }).config);
      const { prompt = "a photo of a cat", seeds, ...given } = options as Record<string, unknown>;
      const named = Object.fromEntries(Object.entries(given).map(([key, value]) => [camelCase(key), value]));
      const source = IMAGES[image]();
      const { images } = (await pipeline(prompt as string, {
        ...{ numInferenceSteps: 4, outputType: "latent", image: source },
        generator: (seeds as number[] | undefined)?.map(seeded) ?? seeded(8),
        ...named,
      })) as { images: Tensor };
      expect(images.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts.
      const bound = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images }), run.images).worst).toBeLessThan(bound);
      dispose({ source });
    });
  }

  const few = (): Pick<AdapterPipelineOptions, "image" | "numInferenceSteps" | "generator"> => ({
    image: picture(48, 32),
    numInferenceSteps: 2,
    generator: seeded(8),
  });
  const drawn = async (pipeline: AnyPipeline, options: object = {}): Promise<Float32Array> =>
    numbers((await pipeline("a cat", { ...few(), ...options, outputType: "latent" })) as { images: Tensor });

  test("what counts with nothing, and in no step, is the picture without; a step is recorded once, a picture read once", async () => {
    for (const name of ["Adapter", "XLAdapter"] as const) {
      const pipeline = pipelineOf(name, [name === "Adapter" ? "full" : "xl"]);
      const base = name === "Adapter" ? StableDiffusionPipeline : StableDiffusionXLPipeline;
      const plain = base.fromPipe(bases[name]) as unknown as AnyPipeline;
      plain.setProgressBarConfig({ disable: true });
      const wanted = await drawn(plain, { height: 32, width: 48, image: undefined });
      const nothing = name === "Adapter" ? { adapterConditioningScale: 0 } : { adapterConditioningFactor: 0.4 };
      expect(await drawn(pipeline, nothing)).toEqual(wanted);
      expect(await drawn(pipeline)).not.toEqual(wanted);
    }
    const pipeline = pipelineOf("Adapter", ["full"]);
    const products = async (numInferenceSteps: number): Promise<string[]> =>
      (await kernelsRun(() => drawn(pipeline, { numInferenceSteps }))).filter((name) => /conv|matmul/.test(name));
    const once = await products(1);
    expect(once.length).toBeGreaterThan(50);
    expect(await products(3)).toEqual(once);
  });

  test("pictures in colours are read grey by adapters of one channel, and grey ones in colours by others", async () => {
    const { device } = bases.Adapter;
    const read = async (image: RawImage, channels: number): Promise<number[]> => {
      const x = adapterTensor(device, checkAdapterImages(image, channels, device), { height: 40, width: 56 });
      expect(x.shape).toEqual([1, channels, 40, 56]);
      const values = [...(await x.data())];
      x.dispose();
      return values;
    };
    const colours = picture(61, 45);
    const luma = new Uint8ClampedArray(61 * 45).map((_, p) => {
      const [r, g, b] = colours.data.slice(3 * p, 3 * p + 3);
      return (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16;
    });
    const grey = new RawImage(61, 45, luma, 1);
    const once = await read(grey, 1);
    expect(await read(colours, 1)).toEqual(once);
    expect(await read(grey, 3)).toEqual([...once, ...once, ...once]);
  });

  test("one picture is for all prompts; several adapters may have one scale; guidance may end", async () => {
    const pipeline = pipelineOf("Adapter", ["full", "light"]);
    const image = [picture(48, 32), picture(48, 32)];
    const two = async (given: unknown[], scale: unknown): Promise<Float32Array> => {
      const options = { ...few(), image: given, adapterConditioningScale: scale, outputType: "latent" };
      return numbers((await pipeline(["a cat", "a dog"], options)) as { images: Tensor });
    };
    expect(await two(image, 0.5)).toEqual(await two([[image[0], image[0]], image[1]], [0.5, 0.5]));
    const cut = new SDCFGCutoffCallback({ cutoffStepIndex: 0 });
    const ended = await drawn(pipelineOf("Adapter", ["full"]), { callbackOnStepEnd: cut });
    expect(ended).not.toEqual(await drawn(pipelineOf("Adapter", ["full"])));
    expect(ended.every(Number.isFinite)).toBe(true);
  });

  test("features that overflow are told, by the name of the component", async () => {
    const image = tensor(48, 32, "nchw", 3e38);
    await expect(drawn(pipelineOf("Adapter", ["full"]), { image })).rejects.toThrow(
      "adapter: numbers are infinite or NaN",
    );
    image.dispose();
  });

  test("memory is what it was after calls, one that is aborted and one that fails", async () => {
    const pipeline = pipelineOf("XLAdapter", ["xl"]);
    const { device } = pipeline;
    const held = (): number => {
      device.trim();
      return device.memoryUse.bytes;
    };
    const first = await drawn(pipeline);
    const before = held();
    const controller = new AbortController();
    const aborting = { signal: controller.signal, callbackOnStepEnd: () => controller.abort(new Error("enough")) };
    await expect(drawn(pipeline, aborting)).rejects.toThrow("enough");
    const latents = Tensor.from(new Float32Array(64), [1, 4, 4, 4], { device });
    await expect(drawn(pipeline, { latents })).rejects.toThrow("`latents` must be [1, 4, 4, 6]");
    latents.dispose();
    expect(held()).toBe(before);
    await pipeline.enableModelCpuOffload();
    expect(await drawn(pipeline)).toEqual(first);
    pipeline.removeAllHooks();
    await pipeline.to("webgpu");
    // What is made of weights once and kept with them is made again when it is needed.
    expect(held()).toBeLessThanOrEqual(before);
  });

  test("float16 draws nearly the same", async () => {
    const { device } = bases.Adapter;
    const options = { dtype: "float16", device } as const;
    const adapter = await t2iAdapter("full", options);
    const folder = fixturePath("models/repos/sd15");
    const half = await StableDiffusionAdapterPipeline.fromPretrained(folder, { adapter, vae: null, ...options });
    half.setProgressBarConfig({ disable: true });
    const wanted = await drawn(pipelineOf("Adapter", ["full"]), { guidanceScale: 2 });
    const got = await drawn(half as unknown as AnyPipeline, { guidanceScale: 2 });
    half.dispose();
    expect(adapter.isDisposed).toBe(true);
    // As in test/pipelines/img2img.test.ts: noise is rounded to halves.
    expect(differences(got, wanted).mean).toBeLessThan(0.02);
    expect(got).not.toEqual(wanted);
  });

  const A = (): RawImage => picture(48, 32);
  const WRONG: [name: string, of: [Name, string[]], options: () => object, message: string][] = [
    [
      "no image",
      ["Adapter", ["full"]],
      () => ({ image: undefined }),
      "`image` must be a picture { width, height, data }",
    ],
    ["an empty list", ["Adapter", ["full"]], () => ({ image: [] }), "got an empty list"],
    [
      "three pictures for one prompt",
      ["Adapter", ["full"]],
      () => ({ image: [A(), A(), A()] }),
      "`image` must be one picture, or one for each prompt, got 3 for 1 prompt",
    ],
    [
      "a Tensor of other channels",
      ["Adapter", ["grey"]],
      () => ({ image: tensor(48, 32, "nchw") }),
      "a Tensor must have the adapter's 1 channels (in_channels), got Tensor(float32 [1, 3, 32, 48])",
    ],
    [
      "a Tensor of another size",
      ["Adapter", ["full"]],
      () => ({ image: tensor(48, 32, "nchw"), height: 40 }),
      "`image`: a Tensor must have the 40 x 48 pixels that are drawn",
    ],
    [
      "too small a picture",
      ["XLAdapter", ["xl"]],
      () => ({ image: picture(17, 9) }),
      "`image` is too small: 17x9 pixels",
    ],
    [
      "a height of no whole features",
      ["XLAdapter", ["xl"]],
      () => ({ height: 40 }),
      "`height` must be a multiple of 16, the adapter's downscale_factor, got 40",
    ],
    [
      "scales for one",
      ["Adapter", ["full"]],
      () => ({ adapterConditioningScale: [1] }),
      "`adapterConditioningScale` must be a number for a single adapter, got [1]",
    ],
    [
      "no number as a scale",
      ["Adapter", ["full"]],
      () => ({ adapterConditioningScale: "1" }),
      '`adapterConditioningScale` must be a finite number, got "1"',
    ],
    [
      "no number as a factor",
      ["XLAdapter", ["xl"]],
      () => ({ adapterConditioningFactor: NaN }),
      "`adapterConditioningFactor` must be a finite number, got NaN",
    ],
    [
      "one picture for two",
      ["Adapter", ["full", "light"]],
      () => ({}),
      "MultiAdapter is enabled, but `image` is not a list. Please pass a list of images to `image`",
    ],
    [
      "three pictures for two",
      ["Adapter", ["full", "light"]],
      () => ({ image: [A(), A(), A()] }),
      "MultiAdapter requires passing the same number of images as adapters. Given 3 images and 2 adapters.",
    ],
    [
      "three scales for two",
      ["Adapter", ["full", "light"]],
      () => ({ image: [A(), A()], adapterConditioningScale: [1, 1, 1] }),
      "`adapterConditioningScale` must be a number, or one for each of 2 adapters, got [1, 1, 1]",
    ],
    [
      "an adapter of another UNet",
      ["Adapter", ["xl"]],
      () => ({}),
      "the adapter does not go with the UNet at 48x32 pixels: of its features number 0 must have 16 channels of 4 x 6, got 16 of 2 x 3",
    ],
  ];
  for (const [name, of, make, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const options = make();
      await expect(pipelineOf(...of)("a cat", { ...few(), ...options })).rejects.toThrow(message);
      dispose(options);
    });

  test("a pipeline without an adapter says so before it loads, and before it draws", async () => {
    await expect(StableDiffusionAdapterPipeline.fromPretrained(fixturePath("models/repos/sd15"))).rejects.toThrow(
      "StableDiffusionAdapterPipeline: components adapter are missing: model_index.json has none; give them, " +
        "fromPretrained(source, { adapter })",
    );
    const none = StableDiffusionXLAdapterPipeline.fromPipe(pipelineOf("XLAdapter", ["xl"]) as never, { adapter: null });
    await expect(none("a cat", few())).rejects.toThrow(
      "the component `adapter` is missing; T2IAdapter or MultiAdapter is needed to read the guiding picture",
    );
    const { adapter } = pipelineOf("Adapter", ["full", "light"]) as unknown as StableDiffusionAdapterPipeline;
    expect(adapter).toBeInstanceOf(MultiAdapter);
    await expect(
      (pipelineOf("Adapter", ["full"]) as unknown as StableDiffusionAdapterPipeline).loadIpAdapter(),
    ).rejects.toThrow("this pipeline takes no pictures as prompts");
  });
});
