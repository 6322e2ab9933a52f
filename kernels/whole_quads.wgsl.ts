/** Rows of n numbers filled up to whole quads with their last: what tiled kernels take for columns is quads. */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, type BitsFormat, type Kernel } from "./wgsl.js";

export const wholeQuads: Kernel<{ format: BitsFormat } & StreamVariant> = {
  name: "whole_quads",
  params: { ...STREAM_PARAMS, ...u32s("n") },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return `${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${overQuads(
  { lanes },
  `
  let across = (params.n + 3u) >> 2u;
  let row = i / across * params.n;
  let column = 4u * (i % across);
  let last = params.n - 1u;
  store4_y(i, vec4u(load_x(row + column), load_x(row + min(column + 1u, last)), load_x(row + min(column + 2u, last)), load_x(row + min(column + 3u, last))));`,
)}`;
  },
};
