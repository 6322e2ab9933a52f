/**
 * Strided gather: y[i0, i1, i2, i3] = x[offset + i0 s0 + i1 s1 + i2 s2 + i3 s3], y row-major, with a change of
 * format on the way, or of bits as they are. One kernel for permutations, slices, casts, and the repacking of weights.
 * Where the last axis has whole quads, y may be columns of a wider matrix: rows `y_row` quads apart, the first at quad `y_start`.
 */
import { eachElement, overQuads, STREAM_PARAMS, type Axes, type StreamVariant } from "./streams.js";
import {
  enable,
  paramsStruct,
  tensor,
  typesOf,
  u32s,
  wgsl,
  type BitsFormat,
  type Format,
  type Kernel,
} from "./wgsl.js";

/** Formats that a file may hold besides ours: bf16 is the upper half of an f32. */
export type SourceFormat = Format | "bf16";

export interface CopyVariant extends StreamVariant {
  /** Both of bits, or neither. */
  from: SourceFormat | BitsFormat;
  to: Format | BitsFormat;
  /**
   * By elements, whatever the axes. Where the last one has whole quads, whose place is computed once and not for each element: by rows
   * of y, or `down` its columns, `lanes` quads wide, where the numbers of a row are far apart in x and those of a column side by side:
   * the lines of x that one turn brings into a CPU's cache are then those of the next, too (weights are transposed in half the time).
   */
  walk: "elements" | "rows" | "down";
}

const bf16Source = `@group(0) @binding(1) var<storage, read> x: array<u32>;
fn load_x(element: u32) -> f32 { let word = x[element >> 1u]; return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (element & 1u) == 1u)); }
`;

const ROWS = { names: ["i3", "i2", "i1", "i0"], lengths: ["params.n3 >> 2u", "params.n2", "params.n1"] };
const down = (lanes: number): Axes => ({
  names: ["lane", "i2", "i1", "i0", "block"],
  lengths: [`${lanes}u`, "params.n2", "params.n1", "params.n0"],
});

const WHOLE = `  let y_row = (i0 * params.n1 + i1) * params.n2 + i2;
  let first_x = params.offset + i0 * params.s0 + i1 * params.s1 + i2 * params.s2 + 4u * i3 * params.s3;
  store4_y(params.y_start + y_row * params.y_row + i3, gathered_quad(first_x));`;

export const copy: Kernel<CopyVariant> = {
  name: "copy",
  params: {
    ...STREAM_PARAMS,
    ...u32s("size", "offset", "n0", "n1", "n2", "n3", "s0", "s1", "s2", "s3", "y_row", "y_start"),
  },
  bindings: () => ["read", "write"],
  source({ from, to, walk, lanes }) {
    const source = from === "bf16" ? bf16Source : tensor(1, "x", "read", from);
    const [one, four] = typesOf(to);
    const f16 = from === "f16" || to === "f16" ? enable("f16") : "";
    return wgsl`${f16}${paramsStruct(this.params)}${source}${tensor(2, "y", "write", to)}
fn at(element: u32) -> u32 {
  let e = min(element, params.size - 1u);
  let i3 = e % params.n3;
  let r3 = e / params.n3;
  let i2 = r3 % params.n2;
  let r2 = r3 / params.n2;
  return params.offset + (r2 / params.n1) * params.s0 + (r2 % params.n1) * params.s1 + i2 * params.s2 + i3 * params.s3;
}
fn gathered(element: u32) -> ${one} { return load_x(at(element)); }
fn gathered_quad(first: u32) -> ${four} {
  let step = params.s3;
  return ${four}(load_x(first), load_x(first + step), load_x(first + 2u * step), load_x(first + 3u * step));
}
${walk === "down" ? overQuads({ lanes }, `  let i3 = block * ${lanes}u + lane;\n${WHOLE}`, down(lanes)) : walk === "rows" ? overQuads({ lanes }, WHOLE, ROWS) : overQuads({ lanes }, `  store4_y(i, ${eachElement("gathered", four)});`)}`;
  },
};
