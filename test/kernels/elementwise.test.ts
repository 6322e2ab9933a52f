import { describe, expect, test } from "vitest";
import { MAX_TERMS } from "../../kernels/elementwise.wgsl.js";
import { activation, add, geglu, linearCombination } from "../../src/tensor/ops/elementwise.js";
import { guide, guideEdit } from "../../src/tensor/ops/guidance.js";
import { activations, Random, rounded, type FloatType } from "../cases/data.js";
import { elementCases, gegluCases, gegluData, gegluReference, termsData } from "../cases/elementwise.js";
import * as gpu from "../support/gpu.js";

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A handful of float32 roundings of terms about as large as the largest result, then the storage. */
const sumTolerance = (dtype: FloatType): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: 4 * gpu.EPSILON,
  absolute: dtype === "float16" ? 2 ** -25 : 1e-6,
});

/** erf by its polynomial is within 1.5e-7, times x up to 4 here; exp may be off by 3 + 2|x| ulp in WGSL. */
const activationTolerance = (dtype: FloatType): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype] + 16 * gpu.EPSILON,
  absolute: 1e-6,
});

describe("linearCombination", () => {
  gpu.checkLeaks();

  for (const { name, shape } of elementCases)
    for (const dtype of gpu.DTYPES)
      test(`${name} [${shape.join(", ")}] ${dtype}: 1, 2 and the most terms`, async () => {
        for (const count of [1, 2, MAX_TERMS]) {
          const data = termsData(count, sizeOf(shape));
          const terms = data.terms.map((values) => rounded(values, dtype));
          const wanted = gpu.want(
            (i) => data.coefficients.reduce((sum, c, k) => sum + c * terms[k][i], 0),
            sizeOf(shape),
          );
          await gpu.withTensors(async (make) => {
            const tensors = terms.map((values) => make(values, shape, dtype));
            const sum = linearCombination(data.coefficients.map((c, k) => [c, tensors[k]] as const));
            expect(sum.shape).toEqual(shape);
            gpu.expectClose(`${count} terms`, await gpu.take(sum), wanted, sumTolerance(dtype));
          });
        }
      });

  test("clamps", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(Float32Array.of(1, 2, 3, 4, 5), [5], "float32");
      const y = make(new Float32Array(5).fill(1), [5], "float32");
      const terms = [[2, x] as const, [-1, y] as const];
      const clamp = [2, 6] as const;
      expect(Array.from(await gpu.take(linearCombination(terms, { clamp })))).toEqual([2, 3, 5, 6, 6]);
    });
  });

  test("sums in float32: halves that overflow on the way do not matter", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(5).fill(60000), [5], "float16");
      const y = linearCombination([
        [3, x],
        [-2.5, x],
      ]);
      expect(Array.from(await gpu.take(y))).toEqual([30000, 30000, 30000, 30000, 30000]);
    });
  });

  test("the most terms fit WebGPU's default of 8 storage buffers", () => {
    expect(MAX_TERMS + 1).toBeLessThanOrEqual(8);
  });

  test("add and guidance", async () => {
    await gpu.withTensors(async (make) => {
      const random = new Random(4);
      const [a, b] = [random.normal(12), random.normal(12)];
      const [x, y] = [make(a, [3, 4], "float32"), make(b, [3, 4], "float32")];
      const both = make(Float32Array.of(...a, ...b), [6, 4], "float32");
      const sum = gpu.want((i) => a[i] + b[i], 12);
      gpu.expectClose("add", await gpu.take(add(x, y)), sum, sumTolerance("float32"));
      const guided = gpu.want((i) => a[i] + 7.5 * (b[i] - a[i]), 12);
      gpu.expectClose("guidance", await gpu.take(guide(both, { scale: 7.5 })), guided, sumTolerance("float32"));
      const c = random.normal(12);
      const all = make(Float32Array.of(...a, ...b, ...c), [9, 4], "float32");
      const edited = gpu.want((i) => c[i] + 7.5 * (a[i] - b[i]) + 1.5 * (b[i] - c[i]), 12);
      const got = await gpu.take(guideEdit(all, { scale: 7.5, imageScale: 1.5 }));
      gpu.expectClose("guidance of edits", got, edited, sumTolerance("float32"));
    });
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      const y = make(new Float32Array(6), [3, 2], "float32");
      const half = make(new Float32Array(6), [2, 3], "float16");
      expect(() => linearCombination([])).toThrow(`linearCombination: takes 1 to ${MAX_TERMS} terms, got 0`);
      const many = Array.from({ length: MAX_TERMS + 1 }, () => [1, x] as const);
      expect(() => linearCombination(many)).toThrow(`got ${MAX_TERMS + 1}`);
      expect(() => linearCombination([[NaN, x]])).toThrow("linearCombination: coefficients must be finite, got NaN");
      expect(() => add(x, y)).toThrow("linearCombination: the shapes differ, got [2, 3] and [3, 2]");
      expect(() => add(x, half)).toThrow(/linearCombination: the dtypes differ, got .*float32.* and .*float16/);
    });
  });
});

describe("activation", () => {
  gpu.checkLeaks();

  for (const kind of ["silu", "gelu", "quick_gelu", "mish", "relu"] as const)
    for (const dtype of gpu.DTYPES)
      test(`${kind} ${dtype}, from -30 to 30`, async () => {
        const x = rounded(
          Float32Array.from({ length: 1201 }, (_, i) => (i - 600) / 20),
          dtype,
        );
        const wanted = gpu.want((i) => activations[kind](x[i]), x.length);
        await gpu.withTensors(async (make) => {
          const y = activation(make(x, [1201], dtype), kind);
          gpu.expectClose(kind, await gpu.take(y), wanted, activationTolerance(dtype));
        });
      });

  test("large numbers give 0 or themselves, not NaN", async () => {
    const x = Float32Array.of(-60000, -1000, -100, 0, 100, 1000, 60000);
    await gpu.withTensors(async (make) => {
      for (const kind of ["silu", "gelu", "quick_gelu", "mish", "relu"] as const)
        for (const dtype of gpu.DTYPES) {
          const got = await gpu.take(activation(make(x, [7], dtype), kind));
          const wanted = gpu.want((i) => Math.max(0, x[i]), 7);
          gpu.expectClose(`${kind} ${dtype}`, got, wanted, { relative: gpu.EPSILON, absolute: 1e-20 });
        }
    });
  });

  test("none makes a number of NaN", async () => {
    const x = Float32Array.of(1, NaN, -1, 2);
    await gpu.withTensors(async (make) => {
      for (const kind of ["silu", "gelu", "quick_gelu", "mish", "relu"] as const)
        for (const dtype of gpu.DTYPES) {
          const got = await gpu.take(activation(make(x, [4], dtype), kind));
          expect([...got].map(Number.isNaN), `${kind} ${dtype}`).toEqual([false, true, false, false]);
        }
    });
  });
});

describe("geglu", () => {
  gpu.checkLeaks();

  for (const item of gegluCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} [${item.rows}, 2 x ${item.inner}] ${dtype}`, async () => {
        const x = rounded(gegluData(item), dtype);
        const wanted = gpu.want(gegluReference(item, x), item.rows * item.inner);
        await gpu.withTensors(async (make) => {
          const y = geglu(make(x, [item.rows, 2 * item.inner], dtype));
          expect(y.shape).toEqual([item.rows, item.inner]);
          const tolerance = activationTolerance(dtype);
          gpu.expectClose("geglu", await gpu.take(y), wanted, { ...tolerance, absolute: 4e-6 });
        });
      });

  test("the approximation by tanh is JAX's gelu, also far from 0", async () => {
    const inner = 24;
    const x = Float32Array.from({ length: 2 * inner }, (_, i) => (i < inner ? 1 : (i - inner - inner / 2) * 2.5));
    const tanhGelu = (v: number): number => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
    const wanted = gpu.want((i) => tanhGelu(x[inner + i]), inner);
    await gpu.withTensors(async (make) => {
      const y = geglu(make(x, [1, 2 * inner], "float32"), { approximate: "tanh" });
      gpu.expectClose("geglu tanh", await gpu.take(y), wanted, activationTolerance("float32"));
    });
  });

  test("an odd width is an error", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      expect(() => geglu(x)).toThrow("geglu: the last axis must be even, got [2, 3]");
    });
  });
});
