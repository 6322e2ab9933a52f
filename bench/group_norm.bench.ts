import { groupNorm } from "../src/tensor/ops/norm.js";
import { groupNormData, groupNormReference, type GroupNormCase } from "../test/cases/group_norm.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import { roundAll } from "./round_all.js";
import type { GroupNormShape } from "./shapes.js";

export function groupNormBench({ N: batch, C: channels, HW, groups, eps, silu }: GroupNormShape): BenchCase {
  const size = batch * HW * channels;
  const item: GroupNormCase = { name: "", batch, spatial: [HW], channels, groups, eps, silu, bytes: 0 };
  return {
    op: silu ? "group_norm silu" : "group_norm",
    label: times(batch, HW, channels),
    flops: 0,
    elements: 2 * size + 2 * channels,
    size,
    most: 64, // each element of another group reads the whole group
    // Sums of at most 16384 numbers in one accumulator, sqrt of that in ulps.
    tolerance: () => ({ ofScale: EPSILON * 130, absolute: 4 * EPSILON }),
    prepare(make, dtype) {
      const data = roundAll(groupNormData(item), dtype);
      const x = make(data.x, [batch, HW, channels]);
      const [weight, bias] = [data.weight, data.bias].map((values) => make(values, [channels]));
      return {
        run: () => groupNorm(x, weight, bias, { groups, eps, silu }),
        reference: groupNormReference(item, data),
      };
    },
  };
}
