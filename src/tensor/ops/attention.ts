import { attention as kernel, WORKGROUP_SIZE } from "../../../kernels/attention.wgsl.js";
import type { Operand } from "../columns.js";
import { Tensor } from "../tensor.js";
import { attentionOperands, type AttentionCall, type AttentionShape } from "./attention_operands.js";
import { attentionByScores } from "./attention_scores.js";
import { foldedGrid, quadsOf, rowRuns } from "./common.js";
import { equalParts } from "./equal_parts.js";
import { canFlash, flashAttention, type AnyFlashTile } from "./flash_attention.js";
import type { Tile } from "./tiling.js";

export interface AttentionOptions {
  heads: number;
  /** Query i sees keys 0 to i only. */
  causal?: boolean;
  /** Defaults to 1 / sqrt(head size). */
  scale?: number;
  /** For tests: a way other than the one chosen by shape. */
  by?: "plain" | "flash" | "scores";
  /** For tests: the tile of both products of "scores". */
  tile?: Tile;
  /** For tests: the tile of "flash". */
  flashTile?: AnyFlashTile;
}

/**
 * torch.nn.functional.scaled_dot_product_attention of several heads side by side; the full score matrix is never in memory.
 * Operands may be columns of wider matrices, which are read in place.
 * @param q [batch, queries, heads * d]
 * @param k [batch, keys, heads * d]
 * @param v [batch, keys, heads * d]
 * @returns [batch, queries, heads * d]
 */
export function attention(q: Operand, k: Operand, v: Operand, options: AttentionOptions): Tensor {
  const { heads, causal = false } = options;
  const [batch, queries, width] = q.shape;
  const keys = k.shape[1];
  const same = k.shape[0] === batch && k.shape[2] === width && v.shape.join() === k.shape.join();
  if (q.shape.length !== 3 || !same || width % heads !== 0 || keys === 0)
    throw new RangeError(
      `attention: takes q, k, v [batch, tokens, heads * d] with ${heads} heads, got [${q.shape.join(", ")}], [${k.shape.join(", ")}] and [${v.shape.join(", ")}]`,
    );
  const headSize = width / heads;
  const scale = options.scale ?? 1 / Math.sqrt(headSize);
  const aligned = headSize % 4 === 0;
  const operands = attentionOperands("attention", q, k, v);
  const { device } = operands;
  const way =
    (options.by ?? options.flashTile ?? options.tile)
      ? options
      : device.tunings.wayOf(device, () => ({
          op: "attention",
          dtype: operands.tensors[0].dtype,
          batch,
          heads,
          queries,
          keys,
          headSize,
          causal,
        }));
  const by = way?.by ?? (device.plainKernels || !aligned ? "plain" : canFlash(device, headSize) ? "flash" : "scores");
  const y = Tensor.empty(device, [batch, queries, width], operands.tensors[0].dtype);
  // All images, or one after the other.
  const parts = equalParts([...operands.tensors, y], 1, batch);
  const shape = { batch: batch / parts.length, queries, keys, headSize, heads, causal, scale };
  for (const part of parts) {
    const [q, k, v] = operands.tensors;
    const call = { ...operands, tensors: [part(q), part(k), part(v)] as const, y: part(y) };
    if (by === "flash") flashAttention(call, shape, way?.flashTile);
    else if (by === "scores") attentionByScores(call, shape, way?.tile);
    else plainAttention(call, shape);
  }
  return y;
}

function plainAttention(
  { device, format, tensors, places, y }: AttentionCall,
  { queries, keys, headSize, heads, causal, scale }: AttentionShape,
): void {
  // Each element of a quad computes all its scores anew.
  const flopsPerQuad = 8 * keys * (headSize + 1);
  for (const [start, count] of rowRuns(device, quadsOf(y), flopsPerQuad, WORKGROUP_SIZE))
    device.run({
      kernel,
      variant: { format },
      values: {
        heads,
        head_size: headSize,
        queries,
        keys,
        causal: causal ? 1 : 0,
        size: y.size,
        scale,
        ...places,
        start,
        end: start + count,
      },
      buffers: [...tensors, y],
      grid: foldedGrid(Math.ceil(count / WORKGROUP_SIZE)),
      flops: flopsPerQuad * count,
    });
}
