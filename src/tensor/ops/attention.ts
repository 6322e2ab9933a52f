import { attention as kernel, WORKGROUP_SIZE } from "../../../kernels/attention.wgsl.js";
import { softmax, WORKGROUP_SIZE as SOFTMAX_SIZE } from "../../../kernels/softmax.wgsl.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, formatFor, quadsOf, rowRuns } from "./common.js";
import { gatherInto, slice } from "./copy.js";
import { matmul } from "./matmul.js";

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
/** Query rows whose scores are in memory at a time on the chunked way. */
const CHUNK_ROWS = 256;

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
  const aligned = headSize % 4 === 0;
  const chunkable = aligned && keys % 4 === 0 && heads === 1 && !causal;
  const by = options.by ?? (aligned && headSize <= MAX_FLASH_HEAD ? "flash" : chunkable ? "chunks" : "plain");
  if (by === "chunks") return chunked(q, k, v, scale);

  const { device } = q;
  const format = formatFor("attention", q, k, v);
  const y = Tensor.empty(device, q.shape, q.dtype);
  const quads = quadsOf(y);
  const common = { heads, head_size: headSize, queries, keys, causal: causal ? 1 : 0, quads, scale };
  const run = (flashHead: number, start: number, end: number, grid: number[], flops: number): void =>
    device.run({
      kernel,
      variant: { format, headSize: flashHead, fma: device.fusedMultiplyAdd },
      values: { ...common, query_start: start, query_end: end },
      buffers: [q, k, v, y],
      grid,
      flops,
    });
  const flopsPerQuery = 4 * batch * keys * width;
  if (by === "plain") run(0, 0, queries, foldedGrid(Math.ceil(quads / WORKGROUP_SIZE)), flopsPerQuery * queries);
  else
    for (const [start, count] of rowRuns(device, queries, flopsPerQuery, WORKGROUP_SIZE))
      run(headSize, start, start + count, [Math.ceil(count / WORKGROUP_SIZE), batch * heads], flopsPerQuery * count);
  return y;
}

/**
 * One head too large for registers (the VAE's 512): scores of a few hundred queries at a time as a matmul, a softmax, and
 * a matmul. At 4096 tokens in float16 the scores in memory are 2 MiB, not 32.
 */
function chunked(q: Tensor, k: Tensor, v: Tensor, scale: number): Tensor {
  const { device, dtype } = q;
  const [batch, queries, width] = q.shape;
  const keys = k.shape[1];
  const format = formatFor("attention", q, k, v);
  return device.scope(() => {
    const y = Tensor.empty(device, q.shape, dtype);
    for (let image = 0; image < batch; image++) {
      const keysTransposed = Tensor.empty(device, [width, keys], dtype);
      gatherInto(device, k, format, keysTransposed, { shape: [width, keys], strides: [1, width], offset: image * keys * width });
      const values = batch === 1 ? v.reshape([keys, width]) : slice(v, 0, image, 1).reshape([keys, width]);
      for (let start = 0; start < queries; start += CHUNK_ROWS) {
        const rows = Math.min(CHUNK_ROWS, queries - start);
        device.scope(() => {
          const chunk = Tensor.empty(device, [rows, width], dtype);
          const offset = (image * queries + start) * width;
          gatherInto(device, q, format, chunk, { shape: [rows, width], strides: [width, 1], offset });
          const scores = matmul(chunk, keysTransposed);
          const weights = Tensor.empty(device, scores.shape, dtype);
          const grid = [Math.ceil(rows / SOFTMAX_SIZE)];
          device.run({ kernel: softmax, variant: { format }, values: { rows, width: keys, scale }, buffers: [scores, weights], grid });
          device.copyElements(matmul(weights, values), y, offset);
        });
      }
    }
    return y;
  });
}
