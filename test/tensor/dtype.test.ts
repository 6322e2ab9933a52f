import { describe, expect, test } from "vitest";
import { float16ToFloat32, float32ToFloat16, formatOf, paddedBytes, product } from "../../src/tensor/dtype.js";
import { Random } from "../cases/data.js";
import { halfToFloat } from "../support/goldens.js";

const allHalves = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isNaNHalf = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

/** The nearest half by search over all finite ones: ties to the even, beyond the last midpoint to infinity. */
function nearestHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  let low = 0;
  let high = 0x7bff;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (halfToFloat(middle) <= magnitude) low = middle;
    else high = middle - 1;
  }
  const above = low === 0x7bff ? 65536 : halfToFloat(low + 1);
  const below = halfToFloat(low);
  const up = above - magnitude < magnitude - below || (above - magnitude === magnitude - below && low % 2 === 1);
  return sign | (up ? low + 1 : low);
}

describe("float16", () => {
  test("every half is widened to its value", () => {
    const wide = float16ToFloat32(allHalves);
    const wrong = allHalves.filter((bits) => !Object.is(wide[bits], halfToFloat(bits)));
    expect(Array.from(wrong)).toEqual([]);
  });

  test("every half survives the way there and back, NaN as NaN", () => {
    const back = float32ToFloat16(float16ToFloat32(allHalves));
    const wrong = allHalves.filter((bits) => (isNaNHalf(bits) ? !isNaNHalf(back[bits]) : back[bits] !== bits));
    expect(Array.from(wrong)).toEqual([]);
  });

  test("midpoints between all neighbours go to the even one, their neighbours to the nearer one", () => {
    const values: number[] = [];
    const wanted: number[] = [];
    const nudge = new Float32Array(1);
    const word = new Uint32Array(nudge.buffer);
    for (let bits = 0; bits < 0x7bff; bits++) {
      const middle = (halfToFloat(bits) + halfToFloat(bits + 1)) / 2;
      nudge[0] = middle;
      word[0]--;
      const below = nudge[0];
      word[0] += 2;
      values.push(middle, -middle, below, nudge[0]);
      const even = bits + (bits % 2);
      wanted.push(even, 0x8000 | even, bits, bits + 1);
    }
    const got = float32ToFloat16(values);
    expect(wanted.filter((bits, i) => bits !== got[i])).toEqual([]);
  });

  test("random numbers over the whole range go to the nearest half", () => {
    const random = new Random(16);
    const values = Float32Array.from({ length: 20000 }, () => (random.next() - 0.5) * 2 ** (40 * random.next() - 22));
    const got = float32ToFloat16(values);
    const wrong = values.filter((value, i) => got[i] !== nearestHalf(value));
    expect(Array.from(wrong)).toEqual([]);
  });

  test("the ends of the range", () => {
    const values = [
      65504,
      65519.99,
      65520,
      1e10,
      Infinity,
      -Infinity,
      2 ** -24,
      2 ** -25,
      2 ** -25 * 1.0001,
      1e-30,
      -0,
    ];
    const wanted = [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 1, 0, 1, 0, 0x8000];
    expect(Array.from(float32ToFloat16(values))).toEqual(wanted);
    expect(isNaNHalf(float32ToFloat16([NaN])[0])).toBe(true);
  });
});

describe("sizes and formats", () => {
  test("buffers hold whole quads, one at least", () => {
    expect([0, 1, 4, 5].map((size) => paddedBytes(size, "float32"))).toEqual([16, 16, 16, 32]);
    expect([0, 1, 8, 9].map((size) => paddedBytes(size, "float16"))).toEqual([16, 16, 16, 24]);
    expect(paddedBytes(7, "int32")).toBe(32);
  });

  test("the product of no sizes is 1", () => {
    expect(product([])).toBe(1);
    expect(product([2, 3, 0])).toBe(0);
  });

  test("a dtype's kernel format depends on how the device reads halves", () => {
    const [native, packed] = [{ halfFormat: "f16" }, { halfFormat: "pack16" }] as const;
    expect(formatOf("float32", packed, "op")).toBe("f32");
    expect(formatOf("float16", native, "op")).toBe("f16");
    expect(formatOf("float16", packed, "op")).toBe("pack16");
    expect(() => formatOf("int32", native, "op")).toThrow("op: needs a floating-point tensor, got int32");
  });
});
