import { afterAll, describe, expect, test } from "vitest";
import {
  compareSchedulers,
  DiffusionPipeline,
  EMBEDDED_MODEL,
  EulerDiscreteScheduler,
  Generator,
  RawImage,
  schedulerClass,
  type CompareResult,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { glyph } from "../../src/pipelines/images/bitmap_font.js";
import { contactSheet } from "../../src/pipelines/images/contact_sheet.js";

const PROMPT = "a red circle on a white background";

const plain = (width: number, height: number, [r, g, b]: readonly number[]): RawImage => {
  const data = new Uint8ClampedArray(3 * width * height).map((_, i) => [r, g, b][i % 3]);
  return new RawImage(width, height, data);
};
const pixel = ({ data, width }: RawImage, x: number, y: number): number[] => [
  ...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3),
];
/** Dark pixels in the rows [from, to). */
const ink = (image: RawImage, from: number, to: number): number => {
  let count = 0;
  for (let y = from; y < to; y++)
    for (let x = 0; x < image.width; x++) if (Math.max(...pixel(image, x, y)) < 64) count++;
  return count;
};

describe("the bitmap font", () => {
  test("has a glyph of its own for every printable character of ASCII", () => {
    const drawn = new Set<string>();
    for (let code = 32; code < 127; code++) {
      const rows = glyph(String.fromCharCode(code));
      expect(rows).toHaveLength(7);
      for (const row of rows) expect(row).toMatch(/^[.#]{5}$/);
      drawn.add(rows.join());
    }
    expect(drawn.size).toBe(95);
  });

  test("I is an I, and what it lacks is a question mark", () => {
    expect(glyph("I")).toEqual([".###.", "..#..", "..#..", "..#..", "..#..", "..#..", ".###."]);
    for (const character of ["é", "画", "\n"]) expect(glyph(character)).toEqual(glyph("?"));
  });
});

describe("contactSheet", () => {
  const [red, blue] = [plain(64, 64, [255, 0, 0]), plain(64, 64, [0, 0, 255])];

  test("enlarges small pictures and puts each in its place, on white", () => {
    const sheet = contactSheet([
      [
        { image: red, labels: ["A"] },
        { image: blue, labels: ["B"] },
      ],
      [{ image: blue, labels: ["C"] }],
    ]);
    const rowHeight = 128 + 4 + 9 + 8;
    expect([sheet.width, sheet.height]).toEqual([8 + 2 * (128 + 8), 8 + 2 * rowHeight]);
    expect(pixel(sheet, 8, 8)).toEqual([255, 0, 0]);
    expect(pixel(sheet, 8 + 127, 8 + 127)).toEqual([255, 0, 0]);
    expect(pixel(sheet, 8 + 136, 8)).toEqual([0, 0, 255]);
    expect(pixel(sheet, 8, 8 + rowHeight)).toEqual([0, 0, 255]);
    for (const [x, y] of [
      [7, 8],
      [8 + 128, 8],
      [8 + 136, 8 + rowHeight],
      [0, 0],
    ])
      expect(pixel(sheet, x, y)).toEqual([255, 255, 255]);
  });

  test("writes as many dots as the letters have", () => {
    const dots = [..."Iq"].reduce((n, letter) => n + glyph(letter).join("").replaceAll(".", "").length, 0);
    const sheet = contactSheet([[{ image: red, labels: ["Iq"] }]]);
    expect(ink(sheet, 8 + 128, sheet.height)).toBe(dots);
    const headed = contactSheet([[{ image: red, labels: ["x"] }]], "Iq");
    expect(ink(headed, 0, 8 + 9)).toBe(dots);
  });

  test("breaks long labels at capitals, and keeps large pictures as they are", () => {
    const label = "EulerAncestralDiscreteScheduler"; // 31 letters of 6 pixels
    const heightOf = (image: RawImage) => contactSheet([[{ image, labels: [label] }]]).height - 20 - image.height;
    expect(heightOf(plain(128, 128, [0, 0, 0]))).toBe(2 * 9);
    expect(heightOf(plain(200, 200, [0, 0, 0]))).toBe(9);
    expect(heightOf(plain(512, 512, [0, 0, 0]))).toBe(9 * 2); // one line of dots of 2 x 2 pixels
  });

  test("cuts a heading of no end", () => {
    const image = plain(128, 128, [255, 255, 255]);
    const sheet = contactSheet([[{ image, labels: ["x"] }]], "word ".repeat(200) + "x".repeat(500));
    expect(sheet.height).toBe(8 + 3 * 9 + 4 + 128 + 4 + 9 + 8);
  });

  test("takes pictures of one channel, and of four, whose opacity it leaves out", () => {
    const grey = new RawImage(64, 64, new Uint8ClampedArray(64 * 64).fill(90), 1);
    const clear = new RawImage(
      64,
      64,
      new Uint8ClampedArray(4 * 64 * 64).map((_, i) => [10, 20, 30, 0][i % 4]),
      4,
    );
    const sheet = contactSheet([[grey, clear].map((image) => ({ image, labels: ["x"] }))]);
    expect(pixel(sheet, 8 + 127, 8 + 127)).toEqual([90, 90, 90]);
    expect(pixel(sheet, 8 + 136 + 127, 8 + 127)).toEqual([10, 20, 30]);
  });

  test("refuses nothing, and pictures of two sizes", () => {
    expect(() => contactSheet([])).toThrow("at least one picture");
    const other = plain(64, 72, [0, 0, 0]);
    expect(() =>
      contactSheet([
        [
          { image: red, labels: [] },
          { image: other, labels: [] },
        ],
      ]),
    ).toThrow("64x64 and 64x72");
  });
});

describe("compareSchedulers", () => {
  let loaded: Promise<StableDiffusionPipeline> | undefined;
  const load = (): Promise<StableDiffusionPipeline> =>
    (loaded ??= DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL).then((pipeline) => {
      pipeline.setProgressBarConfig({ disable: true });
      return pipeline;
    }));
  afterAll(async () => (await loaded)?.dispose());

  test("draws every scheduler from the noise of the seed, as a call of its own does", async () => {
    const pipeline = await load();
    const original = pipeline.scheduler;
    const seen: string[] = [];
    const { sheet, cells } = await compareSchedulers(pipeline, PROMPT, {
      schedulers: ["EulerAncestralDiscreteScheduler", EulerDiscreteScheduler],
      steps: [1, 2],
      seed: 8,
      guidanceScale: 3,
      onCell: ({ scheduler, steps }) => void seen.push(`${scheduler} ${steps}`),
    });
    expect(pipeline.scheduler).toBe(original);
    expect(seen).toEqual([
      "EulerAncestralDiscreteScheduler 1",
      "EulerDiscreteScheduler 1",
      "EulerAncestralDiscreteScheduler 2",
      "EulerDiscreteScheduler 2",
    ]);
    expect(cells.map(({ scheduler, steps }) => `${scheduler} ${steps}`)).toEqual(seen);
    expect([sheet.width, sheet.height]).toEqual([8 + 2 * 136, 8 + 9 + 4 + 2 * (128 + 4 + 3 * 9 + 8)]);
    for (const { scheduler, steps, seconds, image } of cells) {
      expect(seconds).toBeGreaterThan(0);
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await pipeline(PROMPT, { numInferenceSteps: steps, guidanceScale: 3, generator });
      pipeline.scheduler = original;
      expect(images[0].data).toEqual(image.data);
    }
  });

  test("null is as nothing, Python's spelling is taken, and an async onCell is waited for", async () => {
    const pipeline = await load();
    const options = { seed: 8, generator: null, negative_prompt: null, guidance_scale: 3, height: null, onCell: null };
    const one = { ...options, schedulers: ["DDIMScheduler"], steps: 1 };
    const { cells } = await compareSchedulers(pipeline, PROMPT, one);
    const same = await compareSchedulers(pipeline, PROMPT, {
      ...one,
      guidance_scale: undefined,
      guidanceScale: 3,
    } as object);
    expect(cells[0].image.data).toEqual(same.cells[0].image.data);
    const onCell = async (): Promise<never> => Promise.reject(new Error("the disk is full"));
    await expect(compareSchedulers(pipeline, PROMPT, { ...one, onCell })).rejects.toThrow("the disk is full");
  });

  test("a generator in place of a seed keeps its state", async () => {
    const generator = new Generator("cpu").manualSeed(8);
    const state = JSON.stringify(generator.getState().stream);
    const { cells } = await compareSchedulers(await load(), PROMPT, {
      schedulers: ["DDIMScheduler", "DDIMScheduler"],
      steps: 1,
      generator,
    });
    expect(JSON.stringify(generator.getState().stream)).toBe(state);
    expect(cells[1].image.data).toEqual(cells[0].image.data);
  });

  test("what else is done with the pipeline meanwhile is none of its business", async () => {
    const pipeline = await load();
    const original = pipeline.scheduler;
    const bar = { ...pipeline["progressBarConfig"] };
    const own = async (): Promise<unknown> => {
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await pipeline(PROMPT, { numInferenceSteps: 1, generator });
      return images[0].data;
    };
    const alone = await own();
    const compare = (names: string[], onCell?: () => void): Promise<CompareResult> =>
      compareSchedulers(pipeline, PROMPT, { schedulers: names, steps: 1, seed: 8, onCell });
    const assigned = EulerDiscreteScheduler.fromConfig(original.config);
    const [first, second, between] = await Promise.all([
      compare(["DDIMScheduler", "LMSDiscreteScheduler"]),
      compare(["LMSDiscreteScheduler", "DDIMScheduler"], () => void (pipeline.scheduler = assigned)),
      own(),
    ]);
    expect(pipeline.scheduler).toBe(assigned);
    pipeline.scheduler = original;
    expect(between).toEqual(alone);
    expect(first.cells[0].image.data).toEqual(second.cells[1].image.data);
    expect(pipeline["progressBarConfig"]).toEqual(bar);
  });

  test("the scheduler is put back when a call is aborted", async () => {
    const pipeline = await load();
    const original = pipeline.scheduler;
    const abort = new AbortController();
    const onCell = (): void => abort.abort(new Error("enough"));
    const options = { schedulers: ["DDIMScheduler", "DDPMScheduler"], steps: 1, signal: abort.signal, onCell };
    await expect(compareSchedulers(pipeline, PROMPT, options)).rejects.toThrow("enough");
    expect(pipeline.scheduler).toBe(original);
  });

  test("wrong arguments are told before anything is drawn", async () => {
    const pipeline = await load();
    const original = pipeline.scheduler;
    const refused = (options: object, message: RegExp, prompt: unknown = PROMPT) =>
      expect(compareSchedulers(pipeline, prompt as string, options)).rejects.toThrow(message);
    await refused({ schedulers: [] }, /schedulers must be a list/);
    await refused({ schedulers: ["DDIMScheduler", "DIMScheduler"] }, /Did you mean DDIMScheduler/);
    await refused({ steps: 0 }, /steps must be a positive integer .* got \[0\]/);
    await refused({ steps: [] }, /steps must be/);
    await refused({ seed: 1, generator: new Generator() }, /seed or generator/);
    await refused({}, /prompt must be one text/, ["a", "b"]);
    // What compareSchedulers itself decides would be overwritten, or make cells of other things than pictures.
    await refused({ numInferenceSteps: 5 }, /`numInferenceSteps` \(there are schedulers, steps, /);
    for (const name of ["num_images_per_prompt", "outputType", "timesteps", "sigmas", "guidance"])
      await refused({ [name]: 2 }, /options that a call does not have/);
    await refused({ onCell: 3 }, /onCell must be a function, got 3/);
    await refused({ generator: [new Generator()] }, /generator must be one Generator/);
    await expect(compareSchedulers("shapes" as never, PROMPT)).rejects.toThrow(
      /takes a StableDiffusionPipeline or StableDiffusionXLPipeline, got "shapes"/,
    );
    expect(pipeline.scheduler).toBe(original);
  });
});
