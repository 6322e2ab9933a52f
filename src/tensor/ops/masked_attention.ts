/** Attention that leaves out some keys. */
import { Tensor } from "../tensor.js";
import { attention, type AttentionOptions } from "./attention.js";
import { repeatRows, slice } from "./copy.js";
import { concat } from "./shape.js";

/** Of each key, in one row per image or text: 1 to keep it, 0 to leave it out. */
export type TokenMask = readonly (readonly number[])[];

/** Added to q·k of keys left out. Times the scale it is still far below any score, and it is a number in float16. */
const HIDDEN = -3e4;

/**
 * attention() over the keys that `keep` marks with 1. Every query must be left with a key.
 *
 * The mask rides in the product: each head gets one more channel, 1 in every query and 0 or HIDDEN in the keys, so that
 * the kernels need not know of masks. Four channels are added, because heads of a multiple of four run faster.
 */
export function maskedAttention(q: Tensor, k: Tensor, v: Tensor, keep: TokenMask, options: AttentionOptions): Tensor {
  const { heads, scale } = options;
  const { device, dtype } = q;
  const [batch, queries, width] = q.shape;
  const keys = k.shape[1];
  if (keep.length !== batch || keep.some((row) => row.length !== keys))
    throw new RangeError(
      `maskedAttention: keep must be [${batch}, ${keys}], got lengths [${keep.map((row) => row.length).join(", ")}]`,
    );
  const headSize = width / heads;
  return device.scope(() => {
    const column = (values: readonly number[], repeats: number): Tensor => {
      const rows = values.flatMap((value) => [value, 0, 0, 0]);
      return repeatRows(Tensor.from(rows, [values.length, 4], { dtype, device }), repeats);
    };
    const widen = (x: Tensor, extra: Tensor): Tensor => {
      const [images, tokens] = x.shape;
      const rows = images * tokens * heads;
      return concat(x.reshape([rows, headSize]), extra, 1).reshape([images, tokens, heads * (headSize + 4)]);
    };
    const hidden = keep.flatMap((row) => row.map((mark) => (mark ? 0 : HIDDEN)));
    const mixed = attention(
      widen(q, column([1], batch * queries * heads)),
      widen(k, column(hidden, heads)),
      widen(v, column([0], batch * keys * heads)),
      { ...options, scale: scale ?? 1 / Math.sqrt(headSize) },
    );
    return slice(mixed.reshape([batch * queries * heads, headSize + 4]), 1, 0, headSize).reshape(q.shape);
  });
}
