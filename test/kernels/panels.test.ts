import { describe, expect, test } from "vitest";
import { panels as kernel } from "../../kernels/panels.wgsl.js";
import { inPanels } from "../../src/tensor/ops/panels.js";
import { Random } from "../cases/data.js";
import * as gpu from "../support/gpu.js";

describe("panels of a weight's columns", () => {
  gpu.checkLeaks();

  for (const dtype of gpu.DTYPES)
    test(`each row by row; the last overlaps the one before where it must, ${dtype}`, async () => {
      const [rows, columns, width] = [6, 20, 8];
      const { w } = gpu.roundAll({ w: new Random(1).normal(rows * columns) }, dtype);
      const wanted = [0, 8, 12].flatMap((first) =>
        Array.from({ length: rows }, (_, row) => [...w.subarray(row * columns + first, row * columns + first + width)]),
      );
      await gpu.withTensors(async (make) => {
        // As convolutions have them: the last axis holds the columns, whatever comes before.
        const y = inPanels(make(w, [2, 3, columns], dtype), width / 4).compute(await gpu.testDevice());
        expect(y.shape).toEqual([3, rows, width]);
        expect([...(await gpu.take(y))]).toEqual(wanted.flat());
      });
    });

  test("too few columns, broken quads, and a kernel that reads buffers are errors", () =>
    gpu.withTensors(async (make) => {
      const device = await gpu.testDevice();
      const make2 = (n: number) => make(new Float32Array(2 * n), [2, n], "float32");
      for (const n of [8, 18])
        expect(() => inPanels(make2(n), 4)).toThrow(`panels: takes quads of columns, 4 at least, got [2, ${n}]`);
      const w = make2(16);
      const run = {
        kernel,
        variant: { format: "u32" as const, lanes: 0 },
        grid: [1],
        values: { rows: 2, columns: 4, width: 2, quads: 8, turns: 1, stream_start: 0, stream_end: 8 },
      };
      expect(() => device.run({ ...run, buffers: [inPanels(w, 2), w] })).toThrow(
        "panels: panels of 2 are read through textures only",
      );
    }));
});
