import { activation, add, geglu } from "../src/tensor/ops/elementwise.js";
import { activations, Random, rounded } from "../test/cases/data.js";
import { gegluData, gegluReference } from "../test/cases/elementwise.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import type { AddShape, GegluShape, SiluShape } from "./shapes.js";

const tolerance = (): { ofScale: number; absolute: number } => ({ ofScale: 8 * EPSILON, absolute: EPSILON });

/** Residuals; the library itself adds most of them in the epilogue of the op before. */
export function addBench({ shape }: AddShape): BenchCase {
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    op: "add",
    label: times(...shape),
    flops: 0,
    elements: 3 * size,
    size,
    tolerance,
    prepare(make, dtype) {
      const random = new Random(size);
      const [a, b] = [0, 1].map(() => rounded(random.normal(size), dtype));
      const [x, y] = [a, b].map((values) => make(values, shape));
      return { run: () => add(x, y), reference: (i) => a[i] + b[i] };
    },
  };
}

export function activationBench(shape: SiluShape | GegluShape): BenchCase {
  const sizes = shape.op === "silu" ? [shape.elems] : [shape.rows, shape.inner];
  const kind = shape.op === "silu" ? "silu" : "quick_gelu";
  const size = sizes.reduce((a, b) => a * b, 1);
  return {
    op: kind,
    label: times(...sizes),
    flops: 0,
    elements: 2 * size,
    size,
    tolerance,
    prepare(make, dtype) {
      const data = rounded(new Random(size).normal(size), dtype);
      const x = make(data, sizes);
      return { run: () => activation(x, kind), reference: (i) => activations[kind](data[i]) };
    },
  };
}

export function gegluBench({ rows, inner }: GegluShape): BenchCase {
  const size = rows * inner;
  const item = { name: "", rows, inner, bytes: 0 };
  return {
    op: "geglu",
    label: times(rows, inner),
    flops: 0,
    elements: 3 * size,
    size,
    tolerance,
    prepare(make, dtype) {
      const data = rounded(gegluData(item), dtype);
      const x = make(data, [rows, 2 * inner]);
      return { run: () => geglu(x), reference: gegluReference(item, data) };
    },
  };
}
