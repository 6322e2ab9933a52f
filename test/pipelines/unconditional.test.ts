import { unzlibSync } from "fflate";
import { afterAll, describe, expect, test } from "vitest";
import {
  DDIMPipeline,
  DDPMPipeline,
  DiffusionPipeline,
  Generator,
  PNDMPipeline,
  RawImage,
  UNet2DModel,
  type DDIMOptions,
} from "../../src/index.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { camelCase, differences, type PipelineRun } from "../support/pipelines.js";
import { changed, type Changes } from "../support/repositories.js";

const REPO = "models/repos/ddpm-cifar";
const CLASSES = { DDPMPipeline, DDIMPipeline, PNDMPipeline };

type AnyPipeline = DDPMPipeline | DDIMPipeline | PNDMPipeline;
type Run = Pick<PipelineRun, "id" | "file" | "call" | "seeds" | "run"> & { pipeline: keyof typeof CLASSES };

const runs = await readFixtureJSON<Run[]>("models/gold/pipe/unconditional.json");
const loaded = new Map<string, Promise<AnyPipeline>>();
const load = (name: keyof typeof CLASSES): Promise<AnyPipeline> => {
  const start = async (): Promise<AnyPipeline> => {
    const pipeline: AnyPipeline = await CLASSES[name].fromPretrained(fixturePath(REPO));
    pipeline.setProgressBarConfig({ disable: true });
    return pipeline;
  };
  if (!loaded.has(name)) loaded.set(name, start());
  return loaded.get(name)!;
};
const seeded = (seed = 8): Generator => new Generator("cpu").manualSeed(seed);

/** Keeps a copy of what the last step gave: these pipelines have no callback. */
function recordSteps({ scheduler }: AnyPipeline): { last: Promise<ArrayLike<number>>; restore(): void } {
  const { step } = scheduler;
  const record = {
    last: Promise.reject<ArrayLike<number>>(new Error("no step was taken")),
    restore: () => void (scheduler.step = step),
  };
  record.last.catch(() => undefined);
  scheduler.step = (...args) => {
    const result = step.apply(scheduler, args);
    record.last = result.prevSample.data();
    return result;
  };
  return record;
}

describe("pipelines without a prompt", () => {
  afterAll(async () => {
    for (const pipeline of loaded.values()) (await pipeline).dispose();
  });
  const use = async ({ device }: AnyPipeline): Promise<[number, number]> => {
    device.trim(); // of the results that tests have disposed
    await device.synchronize();
    const { buffers, bytes } = device.memoryUse;
    return [buffers, bytes];
  };

  for (const run of runs)
    test(`${run.id} (${run.pipeline}) draws what diffusers draws`, async () => {
      const goldens = await readGolden(`models/${run.file}`);
      const pipeline = await load(run.pipeline);
      const steps = recordSteps(pipeline);
      const call = Object.fromEntries(Object.entries(run.call).map(([name, value]) => [camelCase(name), value]));
      const { images } = await pipeline({ ...call, outputType: "np", generator: seeded(run.seeds[0]) });
      steps.restore();
      // The bounds of stable_diffusion.test.ts.
      const { latents_max_abs: sensitivity } = run.run.sensitivity;
      const last = [...goldens].find(([name]) => name.startsWith("latents."))![1];
      expect(differences(await steps.last, last.data).worst).toBeLessThan(Math.max(1e-3, 4 * sensitivity));
      const image = goldens.get("image")!;
      expect(images.shape).toEqual(image.shape);
      expect(differences(await images.data(), image.data).mean).toBeLessThan(1 / 255);
      images.dispose();
    });

  test("every kind of picture, and nothing stays in memory", async () => {
    const pipeline = (await load("DDPMPipeline")) as DDPMPipeline;
    const before = await use(pipeline);
    const draw = { batchSize: 2, numInferenceSteps: 2 };
    const { images } = await pipeline({ ...draw, generator: seeded() });
    expect(images).toHaveLength(2);
    expect(images[0]).toBeInstanceOf(RawImage);
    expect([images[0].width, images[0].height]).toEqual([16, 16]);
    const { images: nhwc } = await pipeline({ ...draw, generator: seeded(), outputType: "np" });
    const { images: nchw } = await pipeline({ ...draw, generator: seeded(), outputType: "pt" });
    expect([nhwc.shape, nchw.shape]).toEqual([
      [2, 16, 16, 3],
      [2, 3, 16, 16],
    ]);
    const values = await nhwc.data();
    const bytes = images.flatMap(({ data }) => Array.from(data));
    expect(
      differences(
        Float32Array.from(values, (v) => v * 255),
        bytes,
      ).worst,
    ).toBeLessThan(0.5001);
    const other = await nchw.data();
    expect([other[0], other[256], other[512]]).toEqual([values[0], values[1], values[2]]);
    for (const tensor of [nhwc, nchw]) tensor.dispose();
    expect(await use(pipeline)).toEqual(before);
  });

  // A UNet of one channel draws grey pictures, mode "L" in Python.
  test("grey pictures and pictures with alpha", () => {
    const [grey, white] = RawImage.fromUnit([0, 0.5, 0.1, 1, 1, 1, 1, 1], [2, 2, 2, 1]);
    expect(Array.from(grey.data)).toEqual([0, 128, 26, 255]);
    expect(Array.from(grey.toRGBA())).toEqual([0, 0, 0, 255, 128, 128, 128, 255, 26, 26, 26, 255, 255, 255, 255, 255]);
    expect(Array.from(white.data)).toEqual([255, 255, 255, 255]);
    const [alpha] = RawImage.fromUnit([1, 0.2, 0, 0.6], [1, 1, 1, 4]);
    expect(Array.from(alpha.toRGBA())).toEqual([255, 51, 0, 153]);
    expect(() => RawImage.fromUnit([0, 0], [1, 1, 1, 2])).toThrow("takes 1, 3 or 4 channels, got 2");
    const png = (image: RawImage): [bits: number, colourType: number, rows: number[]] => {
      const file = image.toPNG();
      const length = new DataView(file.buffer).getUint32(33);
      return [file[24], file[25], Array.from(unzlibSync(file.subarray(41, 41 + length)))];
    };
    expect(png(white)).toEqual([8, 0, [1, 255, 0, 2, 0, 0]]); // minus the left one, minus the one above
    expect(png(alpha)).toEqual([8, 6, [0, 255, 51, 0, 153]]);
  });

  test("PNG is the only format, and other names and types are refused", async () => {
    const image = new RawImage(1, 1, new Uint8ClampedArray(3));
    for (const name of ["x.jpg", "x", "png", "x.png.txt", undefined])
      await expect(image.save(name as string)).rejects.toThrow(
        "only PNG is written, so the name must end in .png, got",
      );
    await expect(image.save("no/such/folder/x.PNG")).rejects.toThrow(/ENOENT|a browser has no file system/);
    expect([image.toBlob().type, image.toBlob("image/png").type]).toEqual(["image/png", "image/png"]);
    expect(() => image.toBlob("image/jpeg" as "image/png")).toThrow('makes "image/png" only, got "image/jpeg"');
  });

  test("each picture of a list of generators is the one of its generator", async () => {
    const pipeline = (await load("DDIMPipeline")) as DDIMPipeline;
    const draw = async (options: DDIMOptions): Promise<Uint8ClampedArray[]> =>
      (await pipeline({ numInferenceSteps: 2, eta: 0.5, ...options })).images.map(({ data }) => data);
    const both = await draw({ batchSize: 2, generator: [seeded(1), seeded(2)] });
    for (const [i, seed] of [1, 2].entries())
      expect(differences((await draw({ generator: seeded(seed) }))[0], both[i]).worst).toBeLessThanOrEqual(1);
    await expect(pipeline({ batchSize: 2, generator: [seeded()] })).rejects.toThrow(
      "a list of generators of length 1, but requested an effective batch size of 2",
    );
  });

  test("an AbortSignal stops within one step and frees everything", async () => {
    const pipeline = await load("DDPMPipeline");
    const before = await use(pipeline);
    const controller = new AbortController();
    const { step } = pipeline.scheduler;
    let steps = 0;
    pipeline.scheduler.step = (...args) => {
      if (++steps === 2) controller.abort(new Error("enough"));
      return step.apply(pipeline.scheduler, args);
    };
    await expect(pipeline({ signal: controller.signal })).rejects.toThrow("enough");
    pipeline.scheduler.step = step;
    expect(steps).toBe(2);
    expect(await use(pipeline)).toEqual(before);
  });

  test("DDIM and PNDM convert the scheduler of the file, with the steps of diffusers by default", async () => {
    const counts: [string, number][] = [];
    for (const name of ["DDPMPipeline", "DDIMPipeline", "PNDMPipeline"] as const) {
      const pipeline = await load(name);
      const controller = new AbortController();
      const { setTimesteps } = pipeline.scheduler;
      pipeline.scheduler.setTimesteps = (count) => {
        counts.push([pipeline.scheduler.className, count!]);
        controller.abort(new Error("enough"));
        setTimesteps.call(pipeline.scheduler, count);
      };
      await expect(pipeline({ signal: controller.signal })).rejects.toThrow("enough");
      pipeline.scheduler.setTimesteps = setTimesteps;
    }
    expect(counts).toEqual([
      ["DDPMScheduler", 1000],
      ["DDIMScheduler", 50],
      ["PNDMScheduler", 50],
    ]);
  });

  test("half precision draws nearly the same", async () => {
    const half = await DDPMPipeline.fromPretrained(fixturePath(REPO), { dtype: "float16" });
    half.setProgressBarConfig({ disable: true });
    const draw = async (pipeline: DDPMPipeline): Promise<ArrayLike<number>> => {
      const steps = recordSteps(pipeline);
      // Noise as given: torch draws other numbers in half precision.
      const noise = { randn: (shape: readonly number[]): Float32Array => seeded().randn(shape) };
      await pipeline({ numInferenceSteps: 3, generator: noise });
      steps.restore();
      return steps.last;
    };
    const full = (await load("DDPMPipeline")) as DDPMPipeline;
    expect(differences(await draw(half), await draw(full)).mean).toBeLessThan(1e-2);
    half.dispose();
  });

  const WRONG: [DDIMOptions, string][] = [
    [{ batchSize: 0 }, "`batchSize` must be a positive integer, got 0"],
    [{ numInferenceSteps: 1.5 }, "`numInferenceSteps` must be a positive integer, got 1.5"],
    [
      { numInferenceSteps: 1001 },
      "numInferenceSteps must be a whole number from 1 to num_train_timesteps, 1000, got 1001",
    ],
    [{ numInferenceSteps: Infinity }, "`numInferenceSteps` must be a positive integer, got Infinity"],
    [{ batchSize: "2" as unknown as number }, '`batchSize` must be a positive integer, got "2"'],
    [
      { signal: new AbortController() as unknown as AbortSignal },
      "must be an AbortSignal, of an AbortController its .s",
    ],
    [{ outputType: "latent" as "np" }, '`outputType` must be one of image, pil, np, pt, got "latent"'],
    [{ eta: NaN }, "`eta` must be a finite number, got NaN"],
  ];
  for (const [options, message] of WRONG)
    test(`refuses ${Object.keys(options).join()} ${Object.values(options).join()}`, async () => {
      await expect((await load("DDIMPipeline"))(options)).rejects.toThrow(message);
    });
});

describe("repositories of one model", () => {
  const from = async (changes: Changes): Promise<DiffusionPipeline> =>
    DiffusionPipeline.fromPretrained(await changed(fixturePath(REPO), changes));
  const WEIGHTS = "diffusion_pytorch_model.safetensors";

  test("are loaded from their root, as the class of the file", async () => {
    const pipeline = await from({});
    expect(pipeline).toBeInstanceOf(DDPMPipeline);
    expect(Object.keys(pipeline.components)).toEqual(["unet", "scheduler"]);
    expect((pipeline as DDPMPipeline).scheduler.config.variance_type).toBe("fixed_large");
    pipeline.dispose();
  });

  test("or from the folders of their components, which win", async () => {
    const config = await readFixtureJSON<object>(`${REPO}/config.json`);
    const pipeline = await from({
      "unet/config.json": { ...config, sample_size: 8 },
      [`unet/${WEIGHTS}`]: await readFixture(`${REPO}/${WEIGHTS}`),
      [WEIGHTS]: null,
    });
    expect((pipeline as DDPMPipeline).unet.config.sample_size).toBe(8);
    pipeline.dispose();
    await expect(from({ "config.json": null })).rejects.toThrow("unet/config.json: no such file");
  });

  test("a component that is given is used", async () => {
    const unet = await UNet2DModel.fromPretrained(fixturePath(REPO), { config: { sample_size: [8, 16] } });
    const pipeline = await DDPMPipeline.fromPretrained(fixturePath(REPO), { unet });
    pipeline.setProgressBarConfig({ disable: true });
    expect(pipeline.unet).toBe(unet);
    const { images } = await pipeline({ numInferenceSteps: 1 });
    expect([images[0].height, images[0].width]).toEqual([8, 16]);
    pipeline.dispose();
    expect(() => new DDPMPipeline(undefined as never)).toThrow("the component `unet` is no UNet2DModel");
    expect(() => new DDPMPipeline({ scheduler: pipeline.scheduler } as never)).toThrow(
      "the component `unet` is no UNet2DModel",
    );
    expect(() => new DDIMPipeline({ unet } as never)).toThrow(
      "DDIMPipeline: the component `scheduler` is not a scheduler",
    );
    const unsized = await UNet2DModel.fromPretrained(fixturePath(REPO), { config: { sample_size: null } });
    const lost = new DDPMPipeline({ unet: unsized, scheduler: pipeline.scheduler });
    await expect(lost.call()).rejects.toThrow("sample_size is null");
    await expect(lost.loadTextualInversion("owner/cat-toy")).rejects.toThrow(
      "DDPMPipeline.loadTextualInversion: not supported: this pipeline takes no embeddings of textual inversion",
    );
    unsized.dispose();
  });
});
