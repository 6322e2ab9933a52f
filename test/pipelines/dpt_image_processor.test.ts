import { describe, expect, test } from "vitest";
import { DPTImageProcessor, RawImage } from "../../src/index.js";
import { DEPTH } from "../support/depth.js";
import { testDevice } from "../support/gpu.js";
import { picture, pixels } from "../support/pictures.js";

const { processed, processor: config } = DEPTH;

describe("DPTImageProcessor, to the bit as transformers without torchvision", () => {
  for (const { form, size, shape, sum, sha256 } of processed)
    test(`${JSON.stringify(form)}, ${size.join("x")}`, async () => {
      const device = await testDevice();
      const { pixelValues } = new DPTImageProcessor({ ...config, ...form })(picture(...size), { device });
      expect(pixelValues.shape).toEqual(shape);
      const values = Float32Array.from(await pixelValues.data());
      pixelValues.dispose();
      expect(Math.abs(values.reduce((a, b) => a + b, 0) - sum)).toBeLessThan(1e-6 * values.length);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", values));
      expect(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")).toBe(sha256);
    });

  test("grey becomes RGB, alpha is dropped", async () => {
    const device = await testDevice();
    const processor = new DPTImageProcessor({ size: 8 });
    const of = async (channels: 1 | 3 | 4): Promise<number[]> => {
      const image = new RawImage(9, 7, pixels(9, 7, channels), channels);
      const { pixelValues } = processor(image, { device });
      const values = [...(await pixelValues.data())];
      pixelValues.dispose();
      return values;
    };
    expect(await of(4)).toEqual(await of(3));
    expect((await of(1)).length).toBe(3 * 64);
  });

  test("refuses what it does not compute, by name", async () => {
    const bad = (given: Record<string, unknown>) => () => new DPTImageProcessor(given);
    expect(bad({ size: { shortest_edge: 20 } })).toThrow("DPTImageProcessor: config size = ");
    expect(bad({ resample: 0 })).toThrow("config resample = 0 is not supported");
    expect(bad({ do_pad: true, size_divisor: 32 })).toThrow("config do_pad = true");
    expect(bad({ ensure_multiple_of: 0 })).toThrow("config ensure_multiple_of = 0");
    const device = await testDevice();
    const tiny = new DPTImageProcessor({ size: 8, ensure_multiple_of: 32 });
    expect(() => tiny(picture(9, 7), { device })).toThrow("would become 0x0 (config ensure_multiple_of = 32)");
    const uneven = new DPTImageProcessor({ size: 20, keep_aspect_ratio: true });
    expect(() => uneven([picture(24, 16), picture(16, 24)], { device })).toThrow("(config keep_aspect_ratio = true)");
  });

  test("prints as Python's, by its name of today", () => {
    const processor = new DPTImageProcessor(config);
    expect(String(processor)).toMatch(/^DPTImageProcessor \{\n {2}"do_normalize": true/);
    expect(processor.toJsonString()).toContain('"image_processor_type": "DPTImageProcessor"');
    expect(processor.toJsonString()).not.toContain("DPTFeatureExtractor");
  });
});
