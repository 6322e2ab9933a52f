import { describe, expect, test } from "vitest";
import { check } from "../../bench/check.js";
import { idealMs } from "../../bench/roofline.js";
import { quantile, summarize } from "../../bench/statistics.js";
import { digits, rooflineText, variantText } from "../../bench/table.js";

describe("statistics", () => {
  test("quantiles lie between values as numpy's do", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([5], 0.9)).toBe(5);
    expect(quantile([0, 10], 0.9)).toBeCloseTo(9);
    const hundred = Array.from({ length: 101 }, (_, i) => 100 - i);
    expect(summarize(hundred)).toEqual({ median: 50, p10: 10, p90: 90 });
  });

  test("no numbers are an error", () => {
    expect(() => quantile([], 0.5)).toThrow("quantile: needs numbers, got []");
    expect(() => quantile([1, NaN], 0.5)).toThrow("got [1, NaN]");
  });
});

describe("check", () => {
  const reference = (i: number): number => i - 4;
  const got = Float32Array.from({ length: 9 }, (_, i) => i - 4);

  test("passes what rounding explains", () => {
    got[3] = -1 - 1e-7;
    const { passed, error } = check(got, reference, { size: 9 }, "float32", { ofScale: 2 ** -23 });
    expect(passed).toBe(true);
    expect(error).toBeLessThan(1e-7);
  });

  test("names the worst element", () => {
    const wrong = Float32Array.from(got);
    wrong[2] = 7;
    wrong[5] = 0;
    const { passed, message, error } = check(wrong, reference, { size: 9 }, "float32", { ofScale: 1e-6 });
    expect(passed).toBe(false);
    expect(error).toBe(9 / 4);
    expect(message).toBe("2 of 9 elements are wrong; the worst, at 2: got 7, want -2");
  });

  test("finds a number that is not finite wherever it is", () => {
    const size = 100_000;
    for (const value of [NaN, Infinity, -Infinity]) {
      const result = new Float32Array(size);
      result[54_321] = value;
      const { passed, error, message } = check(result, () => 0, { size, most: 16 }, "float32", { ofScale: 1 });
      expect({ passed, error }).toEqual({ passed: false, error: undefined });
      expect(message).toBe(`not all elements are finite; the first, at 54321: got ${value}, want 0`);
    }
  });

  test("looks at elements of all parts of a large result", () => {
    const seen = new Set<number>();
    const size = 100_000;
    check(new Float32Array(size), (i) => seen.add(Math.floor((100 * i) / size)) && 0, { size }, "float32", {
      ofScale: 1,
    });
    expect(seen.size).toBe(100);
  });

  test("a result of another size is wrong", () => {
    const { passed, error, message } = check(got, reference, { size: 8 }, "float32", { ofScale: 1 });
    expect({ passed, error, message }).toEqual({ passed: false, message: "9 elements, want 8" });
  });
});

test("the limit of each type is named", () => {
  const roofline = {
    kind: "roofline" as const,
    peakGflops: 100,
    peakForm: "fma",
    bandwidthGBs: 10,
    bandwidthForm: "f32",
    dispatchMicroseconds: 1,
    recordMicroseconds: 1,
    submitAndWaitMs: 1,
    readbackMs: 1,
  };
  expect(rooflineText(roofline)[0]).toMatch(/^FMA peak +100 GFLOP\/s of float32 .*halves too/);
  const work = { flops: 1e9, bytes: 0, dtype: "float16" as const };
  expect(idealMs(roofline, work)).toBe(idealMs(roofline, { ...work, dtype: "float32" }));
  const withMatrices = { ...roofline, matrixGflops: 800 };
  expect(rooflineText(withMatrices)[1]).toMatch(/^matrices +800 GFLOP\/s of halves.*float16's limit/);
  expect(idealMs(withMatrices, work)).toBeCloseTo(1000 / 800, 9);
});

test("tables are short", () => {
  expect([1234.5, 12.345, 1.2345, 0.012345, undefined].map(digits)).toEqual(["1235", "12.3", "1.23", "0.012", "-"]);
  const label = 'matmul {"format":"f32","flat":true,"tileM":4,"lanes":0,"fma":false,"activation":"none","matrix":null}';
  expect(variantText(label)).toBe("matmul f32 flat tileM=4");
  const nested = 'group_norm apply {"format":"f32","silu":true,"stripe":{"lanes":8,"held":5}}';
  expect(variantText(nested)).toBe("group_norm apply f32 silu lanes=8 held=5");
});
