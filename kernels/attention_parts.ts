/** Texts that the kernels of attention share: what a query sees, and of flash ones where a workgroup stands and how it loads. */

import { u32s } from "./wgsl.js";

/**
 * Params of flash kernels. `start` and `end`: the queries of a dispatch; the workgroup's y is image * heads + head. q, k and v may be
 * columns of wider matrices: their tokens lie `…_stride` elements apart, the first at `…_start`, both multiples of 4.
 */
export const flashParams = {
  ...u32s("heads", "queries", "keys", "causal", "start", "end"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
  scale: "f32",
} as const;

/** Keys that a query may see. */
export const visible = /* wgsl */ `
/** Keys that a query may see. */
fn visible(query: u32) -> u32 { return select(params.keys, min(params.keys, query + 1u), params.causal != 0u); }
`;

/** Quad `slot` of a tile of tokens, of `parts` quads each, from token `base` on; behind the last it is the last again. */
export const fetcher = (name: "k" | "v", parts: number, quad: "vec4f" | "vec4<f16>"): string => `
fn fetch_${name}(at: u32, base: u32, slot: u32) -> ${quad} {
  return ${quad === "vec4f" ? "load4" : "half4"}_${name}(at + min(base + slot / ${parts}u, params.keys - 1u) * (params.${name}_stride >> 2u) + slot % ${parts}u);
}`;

/** Declares the head, the first query, and where tokens of the image have this head. `y` of a workgroup is image * heads + head. */
export const standing = (parts: number, queries: number): string => `  let image = workgroup.y / params.heads;
  let head = (workgroup.y % params.heads) * ${parts}u;
  let first = params.start + workgroup.x * ${queries}u;
  let q_at = ((params.q_start + image * params.queries * params.q_stride) >> 2u) + head;
  let k_at = ((params.k_start + image * params.keys * params.k_stride) >> 2u) + head;
  let v_at = ((params.v_start + image * params.keys * params.v_stride) >> 2u) + head;`;
