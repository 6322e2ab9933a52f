import { concat, embedding, upsampleNearest } from "../src/tensor/ops/shape.js";
import { Random, rounded } from "../test/cases/data.js";
import { concatReference, embeddingReference, numbers, upsampleReference } from "../test/cases/movement.js";
import { times, type BenchCase } from "./bench_case.js";
import type { ConcatShape, EmbeddingShape, UpsampleShape } from "./shapes.js";

/** Moved numbers arrive unchanged. */
const tolerance = (): { ofScale: number } => ({ ofScale: 0 });

export function concatBench({ N, C1, C2, H, W }: ConcatShape): BenchCase {
  const size = N * H * W * (C1 + C2);
  const [a, b] = [C1, C2].map((c) => [N, H, W, c]);
  return {
    op: "concat",
    label: `${times(...a)} and ${C2}`,
    flops: 0,
    elements: 2 * size,
    size,
    tolerance,
    prepare(make, dtype) {
      const [first, second] = [a, b].map((shape) => rounded(numbers(shape), dtype));
      const [x, y] = [make(first, a), make(second, b)];
      const reference = concatReference({ name: "", a, b, axis: 3, bytes: 0 }, first, second);
      return { run: () => concat(x, y, 3), reference };
    },
  };
}

export function upsampleBench({ N, C, H, W, OH, OW }: UpsampleShape): BenchCase {
  const shape = [N, H, W, C] as const;
  const size = N * OH * OW * C;
  return {
    op: "upsample",
    label: `${times(...shape)} to ${times(OH, OW)}`,
    flops: 0,
    elements: size + N * H * W * C,
    size,
    tolerance,
    prepare(make, dtype) {
      const data = rounded(numbers(shape), dtype);
      const x = make(data, shape);
      const reference = upsampleReference({ name: "", shape, size: [OH, OW], bytes: 0 }, data);
      return { run: () => upsampleNearest(x, [OH, OW]), reference };
    },
  };
}

/** Of the table, only the rows that are looked up are read. */
export function embeddingBench({ vocab, C: width, ids: tokens }: EmbeddingShape): BenchCase {
  const size = tokens * width;
  const item = { name: "", batch: 1, tokens, rows: vocab, width, position: false, bytes: 0 };
  return {
    op: "embedding",
    label: `${tokens} of ${times(vocab, width)}`,
    flops: 0,
    elements: 2 * size,
    size,
    tolerance,
    prepare(make, dtype) {
      const data = rounded(numbers([vocab, width]), dtype);
      const random = new Random(tokens);
      const chosen = Int32Array.from({ length: tokens }, () => random.integer(vocab));
      const [table, ids] = [make(data, [vocab, width]), make(chosen, [1, tokens])];
      return { run: () => embedding(ids, table), reference: embeddingReference(item, chosen, data) };
    },
  };
}
