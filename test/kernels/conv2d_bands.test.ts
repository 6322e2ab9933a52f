/** Convolutions of tensors that an adapter cannot bind whole. */
import { describe, expect, test } from "vitest";
import { bandsOf } from "../../src/tensor/ops/bands.js";
import type { Conv2dOptions } from "../../src/tensor/ops/conv2d.js";
import { PLAIN } from "../../src/tensor/ops/tiling.js";
import type { Part } from "../../src/tensor/part.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { conv2dData, conv2dReference, K3, make, phasesReference, type Conv2dCase } from "../cases/conv2d.js";
import { Random, type FloatType } from "../cases/data.js";
import { winogradReference } from "../cases/winograd.js";
import { run, termsOf, tolerance } from "../support/conv2d.js";
import * as gpu from "../support/gpu.js";

const everything = { shift: true, residual: true, activation: "silu" } as const;
const TEXTURES = { tileM: 4, tileN4: 1, textures: "xw" } as const;
type Way = Pick<Conv2dOptions, "tile" | "phases" | "winograd">;

/** Room for a run of Winograd's filtering. Rows of 16 x 16 numbers are a kilobyte in float32, so that bands have up to 80 of them. */
const LIMIT = { float32: 80 * 1024, float16: 76 * 1024 };
const conv2dCases: readonly [Conv2dCase, ...Way[]][] = [
  [
    make("all terms", [2, 163, 16, 16], 16, K3, everything),
    { tile: PLAIN },
    {},
    { tile: TEXTURES },
    { winograd: true },
  ],
  [
    make("1x1 and a shortcut of two", [1, 165, 16, 16], 16, [1, 1], { shortcut: [16, 8] }),
    { tile: PLAIN },
    {},
    { tile: TEXTURES },
  ],
  [make("a shortcut", [2, 164, 16, 8], 16, K3, { shortcut: [16] }), {}, { winograd: true }],
  [make("stride 2", [1, 325, 16, 16], 16, K3, { stride: 2, padding: [0, 1, 0, 1] }), { tile: PLAIN }, {}],
  [make("stride 2, all sides", [2, 320, 16, 16], 16, K3, { stride: 2, ...everything }), {}],
  [
    make("doubled", [2, 83, 8, 16], 16, K3, { upsample: true, ...everything }),
    { tile: PLAIN },
    { phases: false },
    { phases: true },
    { winograd: true },
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

/** Sizes of convolutions of which an image is larger than a binding: widths and channels for rows that begin where no binding may. */
function* layouts(): Generator<Conv2dCase> {
  const random = new Random(5);
  const one = <T>(of: readonly T[]): T => of[random.integer(of.length)];
  for (let i = 0; i < 300; i++) {
    const [batch, height, width] = [one([1, 2]), one([64, 72, 100, 128, 200]), one([8, 12, 20, 25, 32])];
    const [cin, cout] = [one([4, 12, 16, 32]), one([4, 8, 16, 20])];
    const kernel = one([K3, [1, 1], [5, 5]] as const);
    const place = one([{}, { stride: 2 }, { upsample: true }, { padding: [0, 1, 0, 1] as const, stride: 2 }]);
    yield make("", [batch, height, width, cin], cout, kernel, { ...place, residual: one([false, true]) });
  }
}

describe("conv2d in bands", () => {
  gpu.checkLeaks();

  test("bands cover the result once, hold the rows that they read, and fit", async () => {
    const device = await gpu.testDevice();
    const limit = 32 * 1024;
    let cut = 0;
    for (const { batch, height, width, cin, cout, kernel, outHeight, outWidth, ...item } of layouts()) {
      const { stride, padding: edges, upsample = false } = item;
      const empty = (...shape: number[]): Tensor => Tensor.empty(device, shape, "float32");
      const [x, y] = [empty(batch, height, width, cin), empty(batch, outHeight, outWidth, cout)];
      const [w, bias] = [empty(...kernel, cin, cout), empty(cout)];
      const residual = item.residual ? empty(...y.shape) : undefined;
      const whole = { x, w, bias, y, residual, format: "f32", stride, edges, upsample, top: edges[0] } as const;
      const bands = await gpu.withLimit(limit, () => Promise.resolve(bandsOf({ ...whole, activation: "none" })));
      let written = 0;
      for (const band of bands.length > 1 ? bands : []) {
        const [from, to, added] = [band.x, band.y, band.residual].map((each) => each as Part | undefined);
        for (const each of [from, to, added]) expect(each?.bytes ?? 0).toBeLessThanOrEqual(limit);
        expect(to!.start).toBe(written);
        if (added) expect([added.start, added.size]).toEqual([to!.start, to!.size]);
        written += to!.size;
        // Rows that the band's first and last row read, of the whole image and inside of it.
        const row = (to!.start / outWidth / cout) % outHeight;
        const zoom = upsample ? 2 : 1;
        const inside = (of: number): number => Math.min(height - 1, Math.max(0, Math.floor(of / zoom)));
        const first = (from!.start / width / cin) % height;
        const last = (row + to!.shape[1] - 1) * stride - edges[0] + kernel[0] - 1;
        expect(first).toBeLessThanOrEqual(inside(row * stride - edges[0]));
        expect(first + from!.shape[1]).toBe(inside(last) + 1);
        expect(zoom * first).toBe(row * stride - edges[0] + band.top);
      }
      if (bands.length > 1) expect([written, ++cut > 0]).toEqual([y.size, true]);
      for (const each of [x, y, w, bias, residual]) each?.dispose();
    }
    expect(cut).toBeGreaterThan(150);
  });

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
