/** Launches the norm kernels of small tensors on CPU adapters: group_norm_lanes.wgsl.ts and layer_norm_lanes.wgsl.ts. */
import { groupNormLanes } from "../../../kernels/group_norm_lanes.wgsl.js";
import { layerNormLanes } from "../../../kernels/layer_norm_lanes.wgsl.js";
import { fixedLanes } from "../adapter_kind.js";
import type { Device } from "../device.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, quadsOf } from "./common.js";
import { narrowest, type GroupNormCall } from "./group_norm_block.js";
import type { LayerNormCall } from "./layer_norm_rows.js";

/** Quads up to which the dispatches that are saved cost more than the others' order of reading saves. */
const SMALL = { groupNorm: 2 ** 15, layerNorm: 2 ** 12 };
/** Workgroups that keep all cores busy. */
const WORKGROUPS = 8;

/** Lanes of a subgroup for these kernels; 0 where they are not for this device or so many quads. */
export const normLanes = (
  { isSoftware, adapterInfo, features }: Device,
  norm: keyof typeof SMALL,
  quads: number,
): number => (isSoftware && quads <= SMALL[norm] ? fixedLanes(adapterInfo, features) : 0);

/** Columns of quads that a subgroup has: whole groups; 0 where it has too few lanes for any. */
export function blockWidth(lanes: number, call: Pick<GroupNormCall, "batch" | "channels" | "groups">): number {
  const columns = call.channels / 4;
  const narrow = narrowest(call, 1);
  let width = 0;
  for (let wider = narrow; wider <= lanes; wider += narrow)
    if (columns % wider === 0 && (width === 0 || (call.batch * columns) / wider >= WORKGROUPS)) width = wider;
  return width;
}

/** y [batch, ..., channels]; quads of channels lie in x or in skip. */
export function groupNormByLanes(call: GroupNormCall, lanes: number, width: number): Tensor {
  const { x, skip, weight, bias, format, batch, spatial, channels, groups, eps, silu } = call;
  const columns = channels / 4;
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
  const count = (batch * columns) / width;
  x.device.run({
    kernel: groupNormLanes,
    variant: { format, lanes, silu, joined: Boolean(skip) },
    values: { count, spatial, columns, front: x.shape.at(-1)! / 4, width, per_group: channels / groups, eps },
    buffers: [x, weight, bias, y, ...(skip ? [skip] : [])],
    grid: foldedGrid(count),
  });
  return y;
}

/** y [..., width]; the width fills quads. */
export function layerNormByLanes({ x, weight, bias, format, eps }: LayerNormCall, lanes: number): Tensor {
  const quads = x.shape.at(-1)! / 4;
  const rows = quadsOf(x) / quads;
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  x.device.run({
    kernel: layerNormLanes,
    variant: { format, lanes },
    values: { rows, quads, eps },
    buffers: [x, weight, bias, y],
    grid: foldedGrid(rows),
  });
  return y;
}
