import { describe, expect, test } from "vitest";
import { MultiAdapter, T2IAdapter, Tensor, UNet2DConditionModel } from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { expectMatches, TOLERANCE } from "../support/models.js";
import { ramp } from "../support/sdxl_pictures.js";
import { T2I_ADAPTER, t2iAdapter } from "../support/t2i_adapter.js";

/** Of sides that are odd numbers of the first feature's pixels, so that halves are rounded up. */
const input = ({ config, downscaleFactor: side }: T2IAdapter): Tensor =>
  ramp(0, 1, [2, config.in_channels, 5 * side, 3 * side]);

describe("T2IAdapter", () => {
  for (const { name, total, shapes, features } of T2I_ADAPTER.models)
    test(`${name}: features in both dtypes as diffusers'`, async () => {
      const device = await testDevice();
      for (const dtype of ["float32", "float16"] as const) {
        const model = await t2iAdapter(name, { dtype, device });
        expect(model.totalDownscaleFactor).toBe(total);
        const x = input(model);
        expect(model.shapesOf(x.shape.slice(2))).toEqual(shapes.map(([, c, h, w]) => [h, w, c]));
        const results = model.forward(x);
        expect(results).toHaveLength(shapes.length);
        for (const [i, result] of results.entries()) {
          const golden = { dtype: "F32", shape: shapes[i], data: Float32Array.from(features[i]) };
          await expectMatches(result, golden, `${name} ${i} ${dtype}`, TOLERANCE[dtype]);
        }
        for (const each of [x, ...results, model]) each.dispose();
      }
    });

  test("several are added up by weights, by the same for all where none are given", async () => {
    const device = await testDevice();
    const adapters = [await t2iAdapter("full", { device }), await t2iAdapter("light", { device })];
    const multi = new MultiAdapter(adapters);
    expect([multi.downscaleFactor, multi.totalDownscaleFactor]).toEqual([8, 32]);
    const x = input(adapters[0]);
    const sum = async (weights?: number[]): Promise<number[]> => {
      const results = multi.forward([x, x], weights);
      const numbers = [...(await results[1].data())];
      for (const each of results) each.dispose();
      return numbers;
    };
    const [one, other, both, halves] = [await sum([1, 0]), await sum([0, 1]), await sum([0.3, -2]), await sum()];
    for (const [i, value] of both.entries()) expect(value).toBeCloseTo(0.3 * one[i] - 2 * other[i], 4);
    for (const [i, value] of halves.entries()) expect(value).toBeCloseTo((one[i] + other[i]) / 2, 4);
    expect(() => multi.forward([x])).toThrow("takes pictures and a weight for each of 2 adapters, got 1 and 2");
    for (const each of [x, multi]) each.dispose();
  });

  test("a UNet takes the results, of one row for all; others are refused by name", async () => {
    const device = await testDevice();
    const folder = fixturePath("models/repos/sd15");
    const [model, unet] = [
      await t2iAdapter("full", { device }),
      await UNet2DConditionModel.fromPretrained(folder, { subfolder: "unet", device }),
    ];
    const picture = ramp(0, 1, [1, 3, 40, 56]);
    const [sample, prompt] = [ramp(-1, 1, [2, 4, 5, 7]), ramp(2, -1, [2, 7, 32])];
    const features = model.forward(picture);
    const draw = async (residuals?: Tensor[]): Promise<Float32Array> => {
      const options = residuals && { downIntrablockAdditionalResiduals: residuals };
      const { sample: drawn } = unet.forward(sample, 321, prompt, options);
      const numbers = (await drawn.data()) as Float32Array;
      drawn.dispose();
      return numbers;
    };
    const plain = await draw();
    expect(await draw([])).toEqual(plain);
    const [all, first] = [await draw(features), await draw(features.slice(0, 1))];
    expect(all).not.toEqual(plain);
    expect(first).not.toEqual(all);
    const rows = features.map((x) => Tensor.from(new Float32Array(2 * x.size), [2, ...x.shape.slice(1)]));
    expect(await draw(rows)).toEqual(plain);
    await expect(draw([features[1]])).rejects.toThrow(
      "downIntrablockAdditionalResiduals: number 0 must have 16 channels of 5 x 7, got 24 of 3 x 4",
    );
    // The fourth is for the middle.
    await expect(draw([...features, features[0]])).rejects.toThrow(
      "number 3 must have 24 channels of 2 x 2, got 16 of 5 x 7",
    );
    await expect(draw([...features, features[2], features[2]])).rejects.toThrow("the UNet takes 4 at most, got 5");
    expect(await draw([...features, features[2]])).not.toEqual(all);
    await expect(draw([picture])).rejects.toThrow("number 0 must have 16 channels");
    await expect(draw([prompt])).rejects.toThrow("[0] must be [2, channels, height, width], got [2, 7, 32]");
    const alone = { downBlockAdditionalResiduals: features };
    expect(() => unet.forward(sample, 321, prompt, alone)).toThrow("those of a T2IAdapter are downIntrablock");
    for (const each of [picture, sample, prompt, ...features, ...rows, model, unet]) each.dispose();
  });

  test("refuses configs and pictures that it cannot be or take", async () => {
    const device = await testDevice();
    const types = (adapter_type: string, channels = [16, 24, 24]) => new T2IAdapter({ adapter_type, channels });
    expect(() => types("canny")).toThrow('config adapter_type = "canny" is not supported');
    expect(() => types("full_adapter_xl", [8, 8, 8, 4])).toThrow("from the third number on all must be the same");
    expect(() => types("light_adapter", [3, 8])).toThrow("it works on a quarter of them");
    expect(() => new T2IAdapter({ num_res_blocks: 2000 })).toThrow("the config makes about 8000 layers");
    const model = await t2iAdapter("full", { device });
    const refused = (shape: number[], message: string): void => {
      const x = ramp(0, 1, shape);
      expect(() => model.forward(x)).toThrow(message);
      x.dispose();
    };
    refused([1, 1, 16, 16], "T2IAdapter: takes [batch, 3, height, width], got [1, 1, 16, 16]");
    refused([1, 3, 16, 20], "pictures must have sides that are divisible by 8 (downscale_factor), got 16 x 20");
    model.dispose();
    expect(() => new MultiAdapter([])).toThrow("MultiAdapter: takes a list of T2IAdapters");
    expect(() => new MultiAdapter([new T2IAdapter()])).toThrow(
      "For a single adapter, please use the `T2IAdapter` class",
    );
    const [small, large] = [8, 16].map((downscale_factor) => new T2IAdapter({ downscale_factor }));
    expect(() => new MultiAdapter([small, large])).toThrow(
      "Expecting all adapters to have the same downscaling behavior, but got: totalDownscaleFactor = 64, 128",
    );
  });
});
