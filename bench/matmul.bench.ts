import { matmul } from "../src/tensor/ops/matmul.js";
import { roundAll } from "./round_all.js";
import { matmulData, matmulReference, type MatmulCase } from "../test/cases/matmul.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import type { MatmulShape } from "./shapes.js";

export function matmulBench({ M: m, N: n, K: k, bias }: MatmulShape): BenchCase {
  const item: MatmulCase = { name: "", m, n, k, bias, flops: 2 * m * n * k };
  return {
    op: "matmul",
    label: `${times(m, n, k)}${bias ? "" : " no bias"}`,
    flops: item.flops,
    elements: m * k + k * n + m * n,
    size: m * n,
    tunable: true,
    // Rounding of K partial sums walks at random: sqrt(K) steps of one ulp.
    tolerance: () => ({ ofScale: EPSILON * (Math.sqrt(k) + 1) }),
    prepare(make, dtype) {
      const data = roundAll(matmulData(item), dtype);
      const [x, w] = [make(data.x, [m, k]), make(data.w, [k, n])];
      const b = data.bias && make(data.bias, [n]);
      return { run: () => matmul(x, w, { bias: b }), reference: matmulReference(item, data) };
    },
  };
}
