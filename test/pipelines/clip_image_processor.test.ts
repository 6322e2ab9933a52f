import { describe, expect, test } from "vitest";
import { CLIPImageProcessor, RawImage } from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { picture, pixels } from "../support/pictures.js";

/** What scripts/make_safety.py wrote. */
interface Processed {
  form: Record<string, unknown>;
  size: [number, number];
  channels: 1 | 3 | 4;
  shape: number[];
  sum: number;
  /** Of the float32 numbers. */
  sha256: string;
}
const { processed } = await readFixtureJSON<{ processed: Processed[] }>("pipelines/safety.json");
const load = (): Promise<CLIPImageProcessor> =>
  CLIPImageProcessor.fromPretrained(fixturePath("models/repos/sd15-safe"), { subfolder: "feature_extractor" });

const { config } = await load();

describe("CLIPImageProcessor, to the bit as transformers without torchvision", () => {
  for (const form of new Set(processed.map((each) => JSON.stringify(each.form))))
    test(form, async () => {
      const device = await testDevice();
      const processor = new CLIPImageProcessor({ ...config, ...(JSON.parse(form) as object) });
      for (const { size, channels, shape, sum, sha256 } of processed.filter(
        (each) => JSON.stringify(each.form) === form,
      )) {
        const image = new RawImage(...size, pixels(...size, channels), channels);
        const { pixelValues } = processor(image, { device });
        expect(pixelValues.shape).toEqual(shape);
        const values = Float32Array.from(await pixelValues.data());
        pixelValues.dispose();
        const name = `${size.join("x")}, ${channels} channels`;
        expect(Math.abs(values.reduce((a, b) => a + b, 0) - sum), name).toBeLessThan(1e-6 * values.length);
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", values));
        expect(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""), name).toBe(sha256);
      }
    });

  test("several pictures of different sizes become a batch, in the dtype that is asked for", async () => {
    const device = await testDevice();
    const processor = await load();
    const { pixelValues } = processor([picture(24, 16), picture(29, 21)], { device, dtype: "float16" });
    expect([pixelValues.shape, pixelValues.dtype]).toEqual([[2, 3, 30, 30], "float16"]);
    const { pixelValues: second } = processor(picture(29, 21), { device, dtype: "float16" });
    expect((await pixelValues.data()).slice(2700)).toEqual(await second.data());
    for (const each of [pixelValues, second]) each.dispose();
  });

  test("refuses what it does not compute, by name", async () => {
    const bad = (given: Record<string, unknown>) => () => new CLIPImageProcessor(given);
    expect(bad({ size: { shortest_edge: 20, longest_edge: 30 } })).toThrow("config size = ");
    expect(bad({ resample: 2 })).toThrow("CLIPImageProcessor: config resample = 2 is not supported");
    expect(bad({ crop_size: 0 })).toThrow("config crop_size = 0");
    expect(bad({ image_std: [1, 0, 1] })).toThrow("config image_std = ");
    expect(bad({ do_resize: 1 })).toThrow("config do_resize = 1");
    const device = await testDevice();
    const uneven = new CLIPImageProcessor({ do_center_crop: false, size: 20 });
    expect(() => uneven([picture(24, 16), picture(16, 24)], { device })).toThrow("got 30x20 and 20x30");
    expect(() => uneven([], { device })).toThrow("got an empty list");
    expect(() => uneven("cat.png" as never, { device })).toThrow('got "cat.png"');
    const strict = new CLIPImageProcessor({ do_convert_rgb: false });
    expect(() => strict(new RawImage(4, 4, pixels(4, 4, 1), 1), { device })).toThrow("must be RGB, got 1 channels");
  });

  test("prints as Python's, files of 2022 in today's form", async () => {
    const processor = new CLIPImageProcessor({
      size: 30,
      crop_size: 20,
      foo: 3,
      feature_extractor_type: "CLIPFeatureExtractor",
    });
    const lines = processor.toJsonString().split("\n");
    expect(lines.slice(0, 5)).toEqual(["{", '  "crop_size": {', '    "height": 20,', '    "width": 20', "  },"]);
    expect(processor.toJsonString()).toContain('"foo": 3,');
    expect(processor.toJsonString()).toContain(
      '"rescale_factor": 0.00392156862745098,\n  "size": {\n    "shortest_edge": 30\n  }',
    );
    expect(processor.toJsonString()).not.toContain("feature_extractor_type");
    expect(String(await load())).toMatch(/^CLIPImageProcessor \{\n {2}"crop_size"/);
    const again = new CLIPImageProcessor(JSON.parse(processor.toJsonString()) as Record<string, unknown>);
    expect(again.toJsonString()).toBe(processor.toJsonString());
  });
});
