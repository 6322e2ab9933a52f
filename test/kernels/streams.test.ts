// Kernels that map quads to quads: every one is computed, whatever walks through them.
import { describe, expect, test } from "vitest";
import { permute } from "../../src/tensor/ops/copy.js";
import { geglu, linearCombination } from "../../src/tensor/ops/elementwise.js";
import { inPanels } from "../../src/tensor/ops/panels.js";
import { concat, upsampleNearest } from "../../src/tensor/ops/shape.js";
import { stripes } from "../../src/tensor/ops/stripes.js";
import { gegluReference } from "../cases/elementwise.js";
import { concatReference, numbers, permuteReference, upsampleReference } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

/** Lanes of a GPU, of adapters that do not tell, of SwiftShader and of wider CPU adapters. */
const LANES = [0, 1, 4, 8, 16];
/** In one dispatch, and in several of some 2000 quads. */
const WALKS = LANES.flatMap((streamLanes) => [{ streamLanes }, { streamLanes, flopsBudget: 3e5 }]);

describe("streams", () => {
  gpu.checkLeaks();

  // Less than a quad, less than a thread's turns, one more than whole turns, and as many turns as a thread takes.
  for (const size of [3, 4 * 63, 4 * 64 * 16 * 3 + 5, 4 * 64 * 16 * 300 + 1])
    test(`${size} elements`, async () => {
      const data = Float32Array.from({ length: size }, (_, i) => i % 8191);
      await gpu.withTensors(async (make) => {
        const x = make(data, [size], "float32");
        for (const walk of WALKS)
          await gpu.pretending(walk, async () => {
            const doubled = await gpu.take(linearCombination([[2, x]], { offset: 1 }));
            const wrong = doubled.findIndex((v, i) => v !== 2 * data[i] + 1);
            expect(wrong, `${JSON.stringify(walk)}: the first wrong element`).toBe(-1);
          });
      });
    });

  test("a kernel of single elements", async () => {
    const [rows, columns] = [509, 1021];
    const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
    await gpu.withTensors(async (make) => {
      const x = make(data, [rows, columns], "float32");
      for (const walk of WALKS)
        await gpu.pretending(walk, async () => {
          const turned = await gpu.take(permute(x, [1, 0]));
          const wrong = turned.findIndex((v, i) => v !== data[(i % rows) * columns + Math.floor(i / rows)]);
          expect(wrong, `${JSON.stringify(walk)}: the first wrong element`).toBe(-1);
        });
    });
  });
});

describe("places of quads, counted from turn to turn", () => {
  gpu.checkLeaks();

  /** Rows of 1, 3, 25 and 16 quads: shorter and longer than the lanes that walk side by side, and whole steps. */
  const shapes = [
    [13, 11, 37, 4],
    [3, 29, 31, 12],
    [5, 2, 53, 100],
    [2, 5, 61, 64],
  ] as const;
  for (const shape of shapes)
    test(`of [${shape.join(", ")}]`, () =>
      gpu.withTensors(async (make) => {
        const [n0, n1, n2, n3] = shape;
        const x = numbers(shape);
        const tensor = make(x, shape, "float32");
        const wanted = {
          permute: permuteReference({ name: "", bytes: 0, shape, axes: [1, 2, 0, 3] }, x),
          concat: concatReference({ name: "", bytes: 0, a: shape, b: shape, axis: 3 }, x, x),
          upsample: upsampleReference({ name: "", bytes: 0, shape, size: [n1 + 3, 2 * n2] }, x),
          geglu: gegluReference({ name: "", bytes: 0, rows: n0 * n1, inner: (n2 * n3) / 2 }, x),
          // One panel of all columns is the matrix as it is.
          panels: (i: number) => x[i],
        };
        const ops = {
          permute: () => permute(tensor, [1, 2, 0, 3]),
          concat: () => concat(tensor, tensor, 3),
          upsample: () => upsampleNearest(tensor, [n1 + 3, 2 * n2]),
          geglu: () => geglu(make(x, [n0 * n1, n2 * n3], "float32")),
          panels: () => inPanels(tensor, n3 / 4).compute(tensor.device),
        };
        for (const walk of WALKS)
          await gpu.pretending(walk, async () => {
            for (const [name, op] of Object.entries(ops)) {
              const got = await gpu.take(op());
              const reference = gpu.want(wanted[name as keyof typeof wanted], got.length);
              gpu.expectClose(`${name}, ${JSON.stringify(walk)}`, got, reference, {
                relative: 0,
                absolute: name === "geglu" ? 4e-6 : 0,
              });
            }
          });
      }));
});

describe("transposing, by rows or down the axes that lie together in x", () => {
  gpu.checkLeaks();

  const transposed = [
    { shape: [5, 64, 9, 7], axes: [0, 2, 3, 1] },
    { shape: [64, 24, 3, 3], axes: [2, 3, 1, 0] },
    { shape: [192, 97], axes: [1, 0] },
    // 20 and 12 quads: some lanes divide them, others do not.
    { shape: [80, 67], axes: [1, 0] },
    { shape: [48, 5, 3, 29], axes: [1, 2, 3, 0] },
  ];
  for (const { shape, axes } of transposed)
    test(`[${shape.join(", ")}] by ${axes.join("")}`, () =>
      gpu.withTensors(async (make) => {
        const x = numbers(shape);
        const tensor = make(x, shape, "float32");
        const reference = gpu.want(permuteReference({ name: "", bytes: 0, shape, axes }, x), x.length);
        for (const walk of WALKS)
          await gpu.pretending(walk, async () => {
            gpu.expectClose(`${JSON.stringify(walk)}`, await gpu.take(permute(tensor, axes)), reference, {
              relative: 0,
            });
          });
      }));
});

describe("stripes", () => {
  const images = 2;
  for (const columns of [[80], [5], [7], [22], [80, 160], [6, 8], [3, 5]])
    for (const spatial of [1, 30, 4096])
      for (const streamLanes of LANES)
        test(`${columns.join(" + ")} columns, ${spatial} rows, ${streamLanes} lanes`, () => {
          const { stripe, values, grid } = stripes({ streamLanes }, columns, { images, spatial });
          const width = stripe.lanes * stripe.held;
          for (const part of columns) expect(part % width).toBe(0);
          const quads = columns.reduce((a, b) => a + b);
          expect(values.threads).toBe((quads / stripe.held) * images * Math.ceil(spatial / values.run));
          expect(grid[0] * grid[1] * 64).toBeGreaterThanOrEqual(values.threads);
        });
});
