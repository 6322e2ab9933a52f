import { attention as kernel, ROLLED_QUERIES, WORKGROUP_SIZE } from "../../../kernels/attention.wgsl.js";
import { softmax, WORKGROUP_SIZE as SOFTMAX_SIZE } from "../../../kernels/softmax.wgsl.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, formatFor, quadsOf, rowRuns } from "./common.js";
import { gatherInto, permute } from "./copy.js";
import { matmul } from "./matmul.js";
import { concat } from "./shape.js";

export interface AttentionOptions {
  heads: number;
  /** Query i sees keys 0 to i only. */
  causal?: boolean;
  /** Defaults to 1 / sqrt(head size). */
  scale?: number;
  /** For tests: a way other than the one chosen by shape. */
  by?: "plain" | "flash" | "chunks";
}

/** Up to this head size a thread can hold a query and its result in registers. */
const MAX_FLASH_HEAD = 160;
/** Scores in memory at a time on the chunked way. */
const CHUNK_SCORES = 2 ** 20;

/**
 * torch.nn.functional.scaled_dot_product_attention of several heads side by side; the full score matrix is never in memory.
 * @param q [batch, queries, heads * d]
 * @param k [batch, keys, heads * d]
 * @param v [batch, keys, heads * d]
 * @returns [batch, queries, heads * d]
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
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
  const mayFlash = headSize % 4 === 0 && headSize <= MAX_FLASH_HEAD;
  const by = options.by ?? (mayFlash ? "flash" : headSize > 8 ? "chunks" : "plain");
  if (by === "chunks") return chunked(q, k, v, heads, causal, scale);

  const { device } = q;
  const format = formatFor("attention", q, k, v);
  const y = Tensor.empty(device, q.shape, q.dtype);
  const common = { heads, head_size: headSize, queries, keys, causal: causal ? 1 : 0, size: q.size, scale };
  const run = (flashHead: number, start: number, end: number, grid: number[], flops: number): void =>
    device.run({
      kernel,
      variant: {
        format,
        headSize: flashHead,
        fma: device.fusedMultiplyAdd,
        rolled: flashHead > 0 && device.isSoftware,
      },
      values: { ...common, start, end },
      buffers: [q, k, v, y],
      grid,
      flops,
    });
  if (by === "plain") {
    // Each element of a quad computes all its scores anew.
    const flopsPerQuad = 8 * keys * (headSize + 1);
    for (const [start, count] of rowRuns(device, quadsOf(y), flopsPerQuad, WORKGROUP_SIZE))
      run(0, start, start + count, foldedGrid(Math.ceil(count / WORKGROUP_SIZE)), flopsPerQuad * count);
    return y;
  }
  const flopsPerQuery = 4 * batch * keys * width;
  const perGroup = WORKGROUP_SIZE * (device.isSoftware ? ROLLED_QUERIES : 1);
  for (const [start, count] of rowRuns(device, queries, flopsPerQuery, perGroup))
    run(headSize, start, start + count, [Math.ceil(count / perGroup), batch * heads], flopsPerQuery * count);
  return y;
}

/**
 * Head by head, for a few hundred queries at a time: scores by a matmul, a softmax, and a matmul with the values. For
 * heads too large for registers (the VAE's 512). All of it in float32: unscaled scores pass the largest half, and a
 * half's 11 bits are too few for an exponent. At 4096 tokens the scores in memory are 4 MiB, not 64.
 */
function chunked(q: Tensor, k: Tensor, v: Tensor, heads: number, causal: boolean, scale: number): Tensor {
  const { device, dtype } = q;
  const [batch, queries, width] = q.shape;
  const keys = k.shape[1];
  const headSize = width / heads;
  // The matmuls take keys by fours: the last key is repeated, and softmax gives the repetitions no weight.
  const padded = Math.ceil(keys / 4) * 4;
  const chunk = Math.max(64, Math.floor(CHUNK_SCORES / padded));
  const format = formatFor("attention", q, k, v);
  const rows = (x: Tensor, count: number, offset: number, stride = width): Tensor => {
    const part = Tensor.empty(device, [count, headSize], "float32");
    gatherInto(device, x, format, part, { shape: [count, headSize], strides: [stride, 1], offset });
    return part;
  };
  const padRows = (x: Tensor, offset: number): Tensor => {
    const all = rows(x, keys, offset);
    return padded === keys ? all : concat(all, rows(x, padded - keys, offset + (keys - 1) * width, 0), 0);
  };
  return device.scope(() => {
    const byHead = Tensor.empty(device, [batch, heads, queries, headSize], "float32");
    for (let one = 0; one < batch * heads; one++)
      device.scope(() => {
        const image = Math.floor(one / heads);
        const head = (one % heads) * headSize;
        const keysTransposed = permute(padRows(k, image * keys * width + head), [1, 0]);
        const values = padRows(v, image * keys * width + head);
        for (let start = 0; start < queries; start += chunk)
          device.scope(() => {
            const count = Math.min(chunk, queries - start);
            const scores = matmul(rows(q, count, (image * queries + start) * width + head), keysTransposed);
            const weights = Tensor.empty(device, scores.shape, "float32");
            device.run({
              kernel: softmax,
              variant: { format: "f32" },
              values: { rows: count, width: padded, valid: keys, first: causal ? start + 1 : keys, scale },
              buffers: [scores, weights],
              grid: [Math.ceil(count / SOFTMAX_SIZE)],
            });
            device.copyElements(matmul(weights, values), byHead, (one * queries + start) * headSize);
          });
      });
    const y = Tensor.empty(device, q.shape, dtype);
    const strides = [heads * queries * headSize, headSize, queries * headSize, 1];
    gatherInto(device, byHead, "f32", y, { shape: [batch, queries, heads, headSize], strides });
    return y;
  });
}
