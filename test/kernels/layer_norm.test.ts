import { describe, expect, test } from "vitest";
import type { RowVariant } from "../../kernels/layer_norm.wgsl.js";
import { layerNorm } from "../../src/tensor/ops/norm.js";
import type { FloatType } from "../cases/data.js";
import type { NormData } from "../cases/group_norm.js";
import { layerNormCases, layerNormData, layerNormReference, type LayerNormCase } from "../cases/layer_norm.js";
import * as gpu from "../support/gpu.js";

/** As for groupNorm: a few ulp of the statistics; a mean far from zero costs ulps of the mean. */
const tolerance = (dtype: FloatType, mean = 0): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: 8 * gpu.EPSILON,
  absolute: 4 * gpu.EPSILON * (1 + mean) + (dtype === "float16" ? 2 ** -25 : 0),
});

async function run(
  { shape, width, eps }: LayerNormCase,
  data: NormData,
  dtype: FloatType,
  by?: RowVariant,
): Promise<Float32Array> {
  return gpu.withTensors(async (make) =>
    gpu.take(
      layerNorm(make(data.x, shape, dtype), make(data.weight, [width], dtype), make(data.bias, [width], dtype), {
        eps,
        by,
      }),
    ),
  );
}

describe("layerNorm", () => {
  gpu.checkLeaks();

  for (const item of layerNormCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(layerNormData(item), dtype);
        const wanted = gpu.want(layerNormReference(item, data), data.x.length, 4096);
        const ways: (RowVariant | undefined)[] =
          item.width % 4 === 0 ? [undefined, "plain", "rows", "workgroup"] : [undefined];
        for (const by of ways)
          gpu.expectClose(by ?? "default", await run(item, data, dtype, by), wanted, tolerance(dtype, item.mean));
      });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(12), [2, 6], "float32");
      const six = make(new Float32Array(6), [6], "float32");
      const half = make(new Float32Array(6), [6], "float16");
      expect(() => layerNorm(x, x, six, { eps: 0 })).toThrow("layerNorm: weight must be [6], got [2, 6]");
      expect(() => layerNorm(x, six, x, { eps: 0 })).toThrow("layerNorm: bias must be [6], got [2, 6]");
      expect(() => layerNorm(x, half, six, { eps: 0 })).toThrow(/layerNorm: the dtypes differ/);
    });
  });
});
