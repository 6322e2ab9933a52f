import { describe, expect, test } from "vitest";
import { benchOf } from "../../bench/ops.js";
import { cut } from "../../bench/cut.js";
import { describe as describeRow, isNamed } from "../../bench/measure.js";
import { SD15, sd15Rows } from "../../bench/sd15.js";
import { distinctRows, quickRows, type ShapeTable } from "../../bench/shapes.js";

const stages = SD15.stages as (typeof SD15)["stages"] & Record<string, { totals_flops: { all: number } }>;
const rows = sd15Rows();

describe("the ops of Stable Diffusion 1.5", () => {
  test("are each listed once", () => {
    expect(rows.length).toBe(171);
    expect(new Set(rows.map(({ shape }) => JSON.stringify(shape))).size).toBe(171);
  });

  test("convolutions after an upsampling are rows of their own, as many as there are upsamplings", () => {
    const doubled = rows.filter(({ shape }) => "doubled" in shape);
    const upsamplings = rows.filter(({ shape }) => shape.op === "upsample_nearest2x");
    const sizes = doubled.map(({ shape, counts }) => [benchOf(shape)!.label, counts]);
    expect(sizes).toEqual(
      upsamplings.map(({ shape, counts }) => {
        if (shape.op !== "upsample_nearest2x") throw new Error(shape.op);
        const { N, C, H, W } = shape;
        return [`${N}x${H}x${W}x${C} to ${C}`, counts];
      }),
    );
    expect(doubled.length).toBe(6);
  });

  test("an upsampling without a convolution behind it is noticed", () => {
    const [up] = stages.unet_b2_64.ops.filter(({ op }) => op === "upsample_nearest2x");
    const conv = {
      op: "conv2d",
      N: 2,
      Cin: 1280,
      H: 16,
      W: 16,
      Cout: 1280,
      k: 3,
      stride: 1,
      pad: 1,
      OH: 16,
      OW: 16,
    } as const;
    const made = (...ops: ShapeTable["stages"][string]["ops"]): ShapeTable => ({ stages: { stage: { ops } } });
    const counts = (table: ShapeTable): unknown[] =>
      distinctRows(table).map(({ shape, counts: { stage } }) => [shape.op, "doubled" in shape, stage]);
    expect(counts(made({ ...conv, count: 3 }, up))).toEqual([
      ["conv2d", false, 2],
      ["upsample_nearest2x", false, 1],
      ["conv2d", true, 1],
    ]);
    expect(counts(made({ ...conv, count: 1 }, up)).length).toBe(2);
    expect(() => distinctRows(made(up))).toThrow(/no convolution follows .*upsample/);
    expect(() => distinctRows(made({ ...conv, count: 1 }, { ...up, count: 2 }))).toThrow(/no convolution follows/);
  });

  test("cost what the trace says, stage by stage", () => {
    for (const [stage, { totals_flops }] of Object.entries(stages)) {
      const flops = rows.reduce(
        (sum, { shape, counts }) => sum + (counts[stage] ?? 0) * (benchOf(shape)?.flops ?? 0),
        0,
      );
      expect(flops, stage).toBe(totals_flops.all);
    }
  });

  test("all have a benchmark, but for additions that are always fused", () => {
    const without = rows.filter(({ shape }) => benchOf(shape) === null).map(({ shape }) => shape);
    expect(without.length).toBeGreaterThan(0);
    for (const shape of without) expect("broadcast" in shape && shape.broadcast).toBeTruthy();
  });
});

describe("the quick list", () => {
  const limits = { flops: 2e9, elements: 2 ** 23 };

  test("has 16 ops, all different when they are cut", () => {
    const labels = quickRows(rows).map(({ shape }) => {
      const bench = benchOf(cut(shape, limits))!;
      return `${bench.op} ${bench.label}`;
    });
    expect(new Set(labels).size).toBe(16);
  });

  test("stays within the limits and keeps the inner sizes", () => {
    for (const { shape } of quickRows(rows)) {
      const small = cut(shape, limits);
      const bench = benchOf(small)!;
      expect(bench.flops).toBeLessThanOrEqual(limits.flops);
      expect(bench.size).toBeLessThanOrEqual(limits.elements);
      if (shape.op === "matmul" && small.op === "matmul") expect([small.N, small.K]).toEqual([shape.N, shape.K]);
      if (shape.op === "conv2d" && small.op === "conv2d") expect(small.Cin).toBe(shape.Cin);
      if (shape.op === "attention" && small.op === "attention")
        expect([small.Lk, small.D]).toEqual([shape.Lk, shape.D]);
    }
  });

  test("finds ops that are cut by the name they were traced with, too", () => {
    for (const row of quickRows(rows)) {
      const [result] = describeRow(row, "float16", limits);
      const { op, label, cutFrom = label } = result;
      for (const sizes of [label, cutFrom]) expect(isNamed(result, `${op} ${sizes} float16`)).toBe(true);
      expect(isNamed(result, `${op} ${label} float32`)).toBe(false);
    }
  });

  test("says which entry the table lacks", () => {
    expect(() => quickRows(rows.slice(0, 1))).toThrow(/0 rows match .*conv2d/);
  });
});
