// Kernels that map quads to quads: every one is computed, whatever walks through them.
import { describe, expect, test } from "vitest";
import { permute } from "../../src/tensor/ops/copy.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { stripes } from "../../src/tensor/ops/stripes.js";
import * as gpu from "../support/gpu.js";

/** Lanes of a GPU, of adapters that do not tell, of SwiftShader and of wider CPU adapters. */
const LANES = [0, 1, 4, 8, 16];

describe("streams", () => {
  gpu.checkLeaks();

  // Less than a quad, less than a thread's turns, one more than whole turns, and as many turns as a thread takes.
  for (const size of [3, 4 * 63, 4 * 64 * 16 * 3 + 5, 4 * 64 * 16 * 300 + 1])
    test(`${size} elements`, async () => {
      const data = Float32Array.from({ length: size }, (_, i) => i % 8191);
      await gpu.withTensors(async (make) => {
        const x = make(data, [size], "float32");
        for (const streamLanes of LANES)
          await gpu.pretending({ streamLanes }, async () => {
            const doubled = await gpu.take(linearCombination([[2, x]], { offset: 1 }));
            const wrong = doubled.findIndex((v, i) => v !== 2 * data[i] + 1);
            expect(wrong, `${streamLanes} lanes: the first wrong element`).toBe(-1);
          });
      });
    });

  test("a kernel of single elements", async () => {
    const [rows, columns] = [509, 1021];
    const data = Float32Array.from({ length: rows * columns }, (_, i) => i);
    await gpu.withTensors(async (make) => {
      const x = make(data, [rows, columns], "float32");
      for (const streamLanes of LANES)
        await gpu.pretending({ streamLanes }, async () => {
          const turned = await gpu.take(permute(x, [1, 0]));
          const wrong = turned.findIndex((v, i) => v !== data[(i % rows) * columns + Math.floor(i / rows)]);
          expect(wrong, `${streamLanes} lanes: the first wrong element`).toBe(-1);
        });
    });
  });
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
