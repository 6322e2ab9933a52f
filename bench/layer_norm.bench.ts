import { layerNorm } from "../src/tensor/ops/norm.js";
import { layerNormData, layerNormReference, type LayerNormCase } from "../test/cases/layer_norm.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import { roundAll } from "./round_all.js";
import type { LayerNormShape } from "./shapes.js";

export function layerNormBench({ rows, C: width, eps }: LayerNormShape): BenchCase {
  const item: LayerNormCase = { name: "", shape: [rows, width], rows, width, eps, bytes: 0 };
  return {
    op: "layer_norm",
    label: times(rows, width),
    flops: 0,
    elements: 2 * rows * width + 2 * width,
    size: rows * width,
    tolerance: () => ({ ofScale: 8 * EPSILON, absolute: 4 * EPSILON }),
    prepare(make, dtype) {
      const data = roundAll(layerNormData(item), dtype);
      const x = make(data.x, [rows, width]);
      const [weight, bias] = [data.weight, data.bias].map((values) => make(values, [width]));
      return { run: () => layerNorm(x, weight, bias, { eps }), reference: layerNormReference(item, data) };
    },
  };
}
