import { attention } from "../src/tensor/ops/attention.js";
import { attentionData, attentionReference, type AttentionCase } from "../test/cases/attention.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import { roundAll } from "./round_all.js";
import type { AttentionShape } from "./shapes.js";

export function attentionBench({ B, heads, Lq, Lk, D, causal }: AttentionShape): BenchCase {
  const flops = 4 * B * heads * Lq * Lk * D;
  const item: AttentionCase = { name: "", batch: B, queries: Lq, keys: Lk, heads, headSize: D, causal, flops };
  const width = heads * D;
  return {
    op: "attention",
    label: `${times(B, heads)} heads of ${D}, ${times(Lq, Lk)}${causal ? " causal" : ""}`,
    flops,
    elements: 2 * B * width * (Lq + Lk),
    size: B * Lq * width,
    tunable: true,
    // Scores off by sqrt(D) ulp of their size, exp by 4 ulp, and the walk over keys; as in test/kernels/attention.test.ts. Weights of
    // the kernel by matrices are halves, each off by 2^-12 at random: their sum by as much of the largest result at most.
    tolerance: (dtype) => ({
      ofScale: EPSILON * (4 + 4 * Math.sqrt(D) + Math.sqrt(Lk)) + (dtype === "float16" ? 2 ** -12 : 0),
    }),
    prepare(make, dtype) {
      const data = roundAll(attentionData(item), dtype);
      const q = make(data.q, [B, Lq, width]);
      const [k, v] = [data.k, data.v].map((values) => make(values, [B, Lk, width]));
      return { run: () => attention(q, k, v, { heads, causal }), reference: attentionReference(item, data) };
    },
  };
}
