/** The small ops of the UNets' rarer blocks and conditions, each beside its formula in float64. */
import { describe, expect, test } from "vitest";
import { biasedAttention } from "../../src/tensor/ops/biased_attention.js";
import { firResample } from "../../src/tensor/ops/fir_resample.js";
import { mixTokens } from "../../src/tensor/ops/mix_tokens.js";
import { modulate } from "../../src/tensor/ops/modulate.js";
import { sinusoid } from "../../src/tensor/ops/sinusoid.js";
import { toFloat } from "../../src/tensor/ops/to_float.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { activations, Random, rounded, type FloatType } from "../cases/data.js";
import { sideBySide } from "../support/columns.js";
import * as gpu from "../support/gpu.js";

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const normal = (seed: number, shape: readonly number[], dtype: FloatType): Float32Array =>
  rounded(new Random(seed).normal(sizeOf(shape)), dtype);

/** Sums of a few dozen products of numbers of unit size, rounded once on storage. */
const tolerance = (dtype: FloatType): gpu.Tolerance => ({ relative: gpu.STORAGE[dtype], ofScale: 8 * gpu.EPSILON });

describe("modulate", () => {
  gpu.checkLeaks();

  for (const [batch, pixels, channels] of [
    [1, 9, 8],
    [2, 5, 6],
    [3, 1, 5],
    [2, 3, 12],
  ])
    for (const dtype of gpu.DTYPES)
      test(`[${batch}, ${pixels}, ${channels}] ${dtype}`, async () => {
        const shape = [batch, pixels, 1, channels];
        const x = normal(1, shape, dtype);
        const table = normal(2, [batch, 2 * channels], dtype);
        await gpu.withTensors(async (make) => {
          const inputs = [make(x, shape, dtype), make(table, [batch, 2 * channels], dtype)] as const;
          for (const activation of ["none", "silu", "mish"] as const) {
            const wanted = gpu.want((i) => {
              const row = 2 * channels * Math.floor(i / (pixels * channels));
              const c = i % channels;
              return activations[activation](x[i] * (1 + table[row + c]) + table[row + channels + c]);
            }, x.length);
            const y = await gpu.take(modulate(...inputs, { activation }));
            gpu.expectClose(activation, y, wanted, { ...tolerance(dtype), absolute: 1e-6 });
            if (channels % 4 !== 0) continue;
            const [, inPlace] = sideBySide([table, table], [batch, 2 * channels], dtype, make);
            expect(await gpu.take(modulate(inputs[0], inPlace, { activation }))).toEqual(y);
            const first = table.subarray(0, 2 * channels);
            const [oneRow] = sideBySide([first], [1, 2 * channels], dtype, make);
            const shared = await gpu.take(modulate(inputs[0], oneRow, { activation }));
            const image = pixels * channels;
            expect(shared.subarray(0, image)).toEqual(y.subarray(0, image));
            const last = make(x.subarray(x.length - image), [1, pixels, 1, channels], dtype);
            expect(shared.subarray(x.length - image)).toEqual(await gpu.take(modulate(last, oneRow, { activation })));
          }
        });
      });

  test("refuses a table of another size", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(8), [1, 2, 1, 4], "float32");
      expect(() => modulate(x, x)).toThrow("modulate: table must be [1, 8], got [1, 2, 1, 4]");
    });
  });
});

describe("firResample", () => {
  gpu.checkLeaks();
  const FIR = [1 / 8, 3 / 8, 3 / 8, 1 / 8];
  const OPTIONS = [
    { taps: [0.5, 0.5], down: 2 },
    { taps: FIR, down: 2, pad: [1, 1] },
    { taps: FIR, up: 2, pad: [2, 1] },
    { taps: FIR, down: 2, pad: [1, 1], edge: "reflect" },
    { taps: FIR, up: 2, pad: [2, 1], edge: "reflect" },
    { taps: [0.25, 0.5, 0.25], pad: [1, 1] },
  ] as const;

  for (const options of OPTIONS)
    for (const shape of [
      [2, 4, 6, 8],
      [1, 5, 7, 3],
      [1, 3, 2, 4],
    ])
      test(`${JSON.stringify(options)} of [${shape.join(", ")}]`, async () => {
        const [batch, height, width, channels] = shape;
        const { taps } = options;
        const { up = 1, down = 1, pad = [0, 0], edge = "zero" } = { ...options } as Parameters<typeof firResample>[1];
        const sizes = [height, width].map((n) => Math.floor((n * up + pad[0] + pad[1] - taps.length) / down) + 1);
        const at = (place: number, size: number): number => {
          if (place % up !== 0) return -1;
          const i = place / up;
          if (edge === "zero") return i < 0 || i >= size ? -1 : i;
          return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
        };
        const dtype = channels === 8 ? "float16" : "float32";
        const x = normal(3, shape, dtype);
        const outShape = [batch, ...sizes, channels];
        const wanted = gpu.want((e) => {
          const c = e % channels;
          const [column, row] = [Math.floor(e / channels) % sizes[1], Math.floor(e / channels / sizes[1])];
          const image = Math.floor(row / sizes[0]);
          let sum = 0;
          taps.forEach((a, k) =>
            taps.forEach((b, l) => {
              const i = at((row % sizes[0]) * down + k - pad[0], height);
              const j = at(column * down + l - pad[0], width);
              if (i >= 0 && j >= 0) sum += a * b * x[((image * height + i) * width + j) * channels + c];
            }),
          );
          return sum;
        }, sizeOf(outShape));
        await gpu.withTensors(async (make) => {
          const y = firResample(make(x, shape, dtype), options);
          expect(y.shape).toEqual(outShape);
          gpu.expectClose("resampled", await gpu.take(y), wanted, tolerance(dtype));
        });
      });
});

describe("mixTokens", () => {
  gpu.checkLeaks();

  for (const [batch, n, m, channels] of [
    [2, 6, 3, 8],
    [1, 3, 7, 5],
    [3, 1, 1, 3],
  ])
    for (const dtype of gpu.DTYPES)
      test(`[${batch}, ${n}, ${channels}] to ${m}, ${dtype}`, async () => {
        const [x, w] = [normal(4, [batch, n, channels], dtype), normal(5, [n, m], "float32")];
        const wanted = gpu.want(
          (e) => {
            const [c, j, b] = [e % channels, Math.floor(e / channels) % m, Math.floor(e / channels / m)];
            let sum = 0;
            for (let i = 0; i < n; i++) sum += w[i * m + j] * x[(b * n + i) * channels + c];
            return sum;
          },
          batch * m * channels,
        );
        await gpu.withTensors(async (make) => {
          const inputs = [make(x, [batch, n, channels], dtype), make(w, [n, m], "float32")] as const;
          gpu.expectClose("mixed", await gpu.take(mixTokens(...inputs)), wanted, tolerance(dtype));
          const full = mixTokens(...inputs, { dtype: "float32" });
          gpu.expectClose("mixed to float32", await gpu.take(full), wanted, tolerance("float32"));
          expect(() => mixTokens(inputs[1], inputs[1])).toThrow("mixTokens: takes x [batch, n, channels]");
        });
      });
});

describe("sinusoid", () => {
  gpu.checkLeaks();

  test("is good to 3e-7 up to angles of thousands, where the built-in sine need not be", async () => {
    const t = Float32Array.from({ length: 61 }, (_, i) => (i - 30) * 41.3);
    const frequencies = Float32Array.of(0, 1e-4, 0.037, 0.5, 1, 1.7, 2.3);
    const f = Math.fround;
    for (const [width, flipSinToCos, factor] of [
      [14, true, 1],
      [15, false, f(2 * Math.PI)],
    ] as const) {
      const wanted = gpu.want((e) => {
        const column = e % width;
        if (column === 14) return 0;
        const angle = f(f(t[Math.floor(e / width)] * frequencies[column % 7]) * factor);
        return column < 7 === flipSinToCos ? Math.cos(angle) : Math.sin(angle);
      }, t.length * width);
      await gpu.withTensors(async (make) => {
        const inputs = [make(t, [61], "float32"), make(frequencies, [7], "float32")] as const;
        const y = sinusoid(...inputs, { width, flipSinToCos, factor });
        expect(y.shape).toEqual([61, width]);
        gpu.expectClose("waves", await gpu.take(y), wanted, { relative: 0, absolute: 3e-7 });
      });
    }
  });
});

describe("toFloat", () => {
  gpu.checkLeaks();

  test("int32, float16 and float32", async () => {
    const device = await gpu.testDevice();
    const integers = Tensor.from(Int32Array.of(-3, 0, 7, 1 << 24, 5), [5], { device });
    expect([...(await gpu.take(toFloat(integers)))]).toEqual([-3, 0, 7, 1 << 24, 5]);
    integers.dispose();
    await gpu.withTensors(async (make) => {
      const half = make(Float32Array.of(0.5, -2, 3), [3], "float16");
      expect([...(await gpu.take(toFloat(half)))]).toEqual([0.5, -2, 3]);
      const x = make(Float32Array.of(1), [1], "float32");
      expect(toFloat(x)).toBe(x);
    });
  });
});

describe("biasedAttention", () => {
  gpu.checkLeaks();

  const CASES = [
    { batch: 2, queries: 5, keys: 7, heads: 2, size: 4, masked: 7 },
    { batch: 1, queries: 3, keys: 6, heads: 3, size: 5, masked: 4 },
    { batch: 2, queries: 9, keys: 4, heads: 1, size: 8, masked: 2 },
    { batch: 2, queries: 6, keys: 6, heads: 2, size: 4, masked: 6, causal: true },
  ];
  for (const { batch, queries, keys, heads, size, masked, causal = false } of CASES)
    for (const dtype of gpu.DTYPES)
      for (const chunked of [false, true])
        test(`${batch} x ${queries} x ${keys}, ${heads} heads of ${size}, ${masked} masked, ${causal ? "causal, " : ""}${dtype}${chunked ? ", in runs" : ""}`, async () => {
          const width = heads * size;
          const [q, k, v] = [queries, keys, keys].map((n, i) => normal(6 + i, [batch, n, width], dtype));
          const mask = Float32Array.from({ length: batch * masked }, (_, i) => (i % 3 === 1 ? 0 : 1));
          const wanted = gpu.want(
            (e) => {
              const [c, i, b] = [e % width, Math.floor(e / width) % queries, Math.floor(e / width / queries)];
              const head = c - (c % size);
              const scores = Array.from({ length: keys }, (_, j) => {
                let sum = 0;
                for (let d = 0; d < size; d++)
                  sum += q[(b * queries + i) * width + head + d] * k[(b * keys + j) * width + head + d];
                const bias = j < masked ? (1 - mask[b * masked + j]) * -10000 : 0;
                return causal && j > i ? -Infinity : sum / Math.sqrt(size) + bias;
              });
              const top = Math.max(...scores);
              const weights = scores.map((score) => Math.exp(score - top));
              const total = weights.reduce((a, b) => a + b, 0);
              return weights.reduce((sum, w, j) => sum + (w / total) * v[(b * keys + j) * width + c], 0);
            },
            batch * queries * width,
          );
          // A budget of one query makes a run of each.
          const budget = chunked ? { flopsBudget: 1 } : {};
          await gpu.pretending(budget, () =>
            gpu.withTensors(async (make) => {
              const tensors = [
                make(q, [batch, queries, width], dtype),
                make(k, [batch, keys, width], dtype),
                make(v, [batch, keys, width], dtype),
              ] as const;
              const options = { heads, causal, mask: make(mask, [batch, masked], "float32") };
              const attended = await gpu.take(biasedAttention(...tensors, options));
              gpu.expectClose("attended", attended, wanted, { ...tolerance(dtype), ofScale: 32 * gpu.EPSILON });
              if (width % 4 === 0) {
                const [inQ] = sideBySide([q], [batch, queries, width], dtype, make);
                const [inV, inK] = sideBySide([v, k], [batch, keys, width], dtype, make);
                expect(await gpu.take(biasedAttention(inQ, inK, inV, options)), "in place").toEqual(attended);
              }
              expect(() => biasedAttention(...tensors, { heads, mask: tensors[0] })).toThrow(
                "the mask must be float32",
              );
            }),
          );
        });
});
