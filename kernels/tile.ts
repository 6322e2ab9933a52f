/** How the threads of matmul and conv2d share out the rows and columns of the result. */
import { linearWorkgroup } from "./wgsl.js";

/** Side of a square workgroup. */
export const WORKGROUP = 8;
/** Threads of a flat workgroup. */
export const FLAT_WORKGROUP = 32;

export interface TileVariant {
  /** Rows per thread; 0 is the plain kernel. */
  tileM: number;
  /** vec4 columns per thread. */
  tileN4: number;
  /** Threads in one line over all tiles instead of 8 x 8 squares: no idle lanes on the narrow products of small models.
   *  For CPU adapters, where neighbouring threads share no loads anyway. */
  flat: boolean;
}

/** The entry point: `body` sees `row` (first of tileM), `column` (first of tileN4, in quads) and must declare `n4` before. */
export function tileEntry({ tileM, tileN4, flat }: TileVariant, n4: string, body: string): string {
  const place = flat
    ? `let tile = ${linearWorkgroup} * ${FLAT_WORKGROUP}u + local.x;
  let across = n4 / ${tileN4}u;
  let row = params.row_start + (tile / across) * ${tileM}u;
  let column = (tile % across) * ${tileN4}u;
  if (row >= params.row_end) { return; }`
    : `let row = params.row_start + (workgroup.y * ${WORKGROUP}u + local.y) * ${tileM}u;
  let column = (workgroup.x * ${WORKGROUP}u + local.x) * ${tileN4}u;
  if (row >= params.row_end || column >= n4) { return; }`;
  return `@compute @workgroup_size(${flat ? FLAT_WORKGROUP : `${WORKGROUP}, ${WORKGROUP}`})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n4 = ${n4};
  ${place}
${body}
}`;
}

/** The entry point of a plain kernel: one quad of the result per thread, computed by `element(index)`. */
export const plainEntry = (columns: string, activated: (x: string) => string): string => `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let e = params.row_start * ${columns} + 4u * (${linearWorkgroup} * 64u + local);
  if (e >= params.row_end * ${columns}) { return; }
  // A loop, so that element() is inlined once: lavapipe compiles four copies of a convolution for half a minute.
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) { quad[lane] = element(e + lane); }
  store4_y(e >> 2u, ${activated("quad")});
}`;
