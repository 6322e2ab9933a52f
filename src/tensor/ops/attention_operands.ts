/** What the launchers of attention take: where q, k and v lie, and the sizes of the product. */
import type { Format } from "../../../kernels/wgsl.js";
import { placeOf, type Operand } from "../columns.js";
import type { Device } from "../device.js";
import type { Region } from "../part.js";
import type { Tensor } from "../tensor.js";
import { formatFor } from "./common.js";

export interface AttentionOperands<R extends Region = Tensor> {
  device: Device;
  format: Format;
  /** Of q, k and v; where they are columns of one tensor, that tensor again and again. */
  tensors: readonly [q: R, k: R, v: R];
  /** The params that say where in them their tokens lie. */
  places: Readonly<Record<`${"q" | "k" | "v"}_${"stride" | "start"}`, number>>;
}

/** The same with a place for the result, of all images or of some. */
export interface AttentionCall extends AttentionOperands<Region> {
  /** [batch, queries, heads * d] */
  y: Region;
}

/** What the kernels of attention bind for q, k and v. @param op for errors */
export function attentionOperands(op: string, ...operands: [q: Operand, k: Operand, v: Operand]): AttentionOperands {
  const [q, k, v] = operands.map(placeOf);
  return {
    device: q.tensor.device,
    format: formatFor(op, q.tensor, k.tensor, v.tensor),
    tensors: [q.tensor, k.tensor, v.tensor],
    places: {
      q_stride: q.stride,
      q_start: q.start,
      k_stride: k.stride,
      k_start: k.start,
      v_stride: v.stride,
      v_start: v.start,
    },
  };
}

export interface AttentionShape {
  batch: number;
  queries: number;
  keys: number;
  headSize: number;
  heads: number;
  causal: boolean;
  scale: number;
}
