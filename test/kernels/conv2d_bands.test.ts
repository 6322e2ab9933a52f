/** Convolutions of tensors that an adapter cannot bind whole. */
import { describe, test } from "vitest";
import type { Conv2dOptions } from "../../src/tensor/ops/conv2d.js";
import { PLAIN } from "../../src/tensor/ops/tiling.js";
import { conv2dData, conv2dReference, K3, make, phasesReference, type Conv2dCase } from "../cases/conv2d.js";
import type { FloatType } from "../cases/data.js";
import { winogradReference } from "../cases/winograd.js";
import { run, termsOf, tolerance } from "../support/conv2d.js";
import * as gpu from "../support/gpu.js";

const everything = { shift: true, residual: true, activation: "silu" } as const;
type Way = Pick<Conv2dOptions, "tile" | "phases" | "winograd">;

/** Room for a run of Winograd's filtering. Rows of 16 x 16 numbers are a kilobyte in float32, so that bands have up to 80 of them. */
const LIMIT = { float32: 80 * 1024, float16: 76 * 1024 };
const conv2dCases: readonly [Conv2dCase, ...Way[]][] = [
  [make("all terms", [2, 163, 16, 16], 16, K3, everything), { tile: PLAIN }, {}, { winograd: true }],
  [make("1x1 and a shortcut of two", [1, 165, 16, 16], 16, [1, 1], { shortcut: [16, 8] }), { tile: PLAIN }, {}],
  [make("a shortcut", [2, 164, 16, 8], 16, K3, { shortcut: [16] }), {}, { winograd: true }],
  [make("stride 2", [1, 325, 16, 16], 16, K3, { stride: 2, padding: [0, 1, 0, 1] }), { tile: PLAIN }, {}],
  [make("stride 2, all sides", [2, 320, 16, 16], 16, K3, { stride: 2, ...everything }), {}],
  [
    make("doubled", [2, 83, 8, 16], 16, K3, { upsample: true, ...everything }),
    ...[{ tile: PLAIN }, { phases: false }, { phases: true }, { winograd: true }],
  ],
  [make("a picture, few channels to many", [1, 164, 24, 3], 16, K3), {}],
  [make("bands that cannot begin at every row of x", [1, 160, 20, 12], 16, K3), {}, { winograd: true }],
  [make("5x3", [1, 170, 16, 16], 16, [5, 3], { residual: true }), {}],
];

const referenceOf = (
  item: Conv2dCase,
  data: ReturnType<typeof conv2dData>,
  dtype: FloatType,
  way: Way,
): ReturnType<typeof conv2dReference> => {
  if (dtype === "float16" && way.winograd) return winogradReference(item, data, dtype);
  if (dtype === "float16" && way.phases) return phasesReference(item, data, dtype);
  return conv2dReference(item, data);
};

describe("conv2d in bands", () => {
  gpu.checkLeaks();

  for (const [item, ...ways] of conv2dCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(conv2dData(item), dtype);
        const size = item.batch * item.outHeight * item.outWidth * item.cout;
        const allowed = tolerance(dtype, termsOf(item));
        if (item.shortcut) allowed.ofScale! += gpu.STORAGE[dtype]; // stored for itself beside Winograd's filtering
        for (const way of ways) {
          const wanted = gpu.want(referenceOf(item, data, dtype, way), size, size);
          const got = await gpu.withLimit(LIMIT[dtype], () => run(item, data, dtype, way));
          gpu.expectClose(JSON.stringify(way), got, wanted, allowed);
        }
      });
});
