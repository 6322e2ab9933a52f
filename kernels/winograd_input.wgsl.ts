/**
 * The image in the basis of winograd.ts: y[place, tile, c] from x[batch, height, width, c], zeros outside. Tile t of the run makes the 2x2
 * pixels of the result from (2·ty, 2·tx) on. A quarter of the values, so that halves hold sums of four; the output has them back.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { inBothAxes, inputLine, placesOf } from "./winograd.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface WinogradInputVariant extends StreamVariant {
  format: Format;
  upsampled: boolean;
}

/** `quads` are those of one place, `columns` those of a tile; `first` is the run's first tile, of `down` x `across` an image. */
export const winogradInput: Kernel<WinogradInputVariant> = {
  name: "winograd input",
  params: {
    ...STREAM_PARAMS,
    ...u32s("columns", "first", "across", "down", "height", "width", "pad_left"),
    pad_top: "i32",
  },
  bindings: () => ["read", "write"],
  source({ format, upsampled, lanes }) {
    const side = placesOf(upsampled);
    const square = range(side).flatMap((r) => range(side).map((s) => [r, s] as const));
    const zoom = upsampled ? "" : "2 * ";
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
/** Where line \`y\` begins, in pixels, or -1 outside. */
fn line_at(image: u32, y: i32) -> i32 { return select(-1, (i32(image * params.height) + y) * i32(params.width), (y >= 0) & (y < i32(params.height))); }
fn pixel(line: i32, x: i32, c: u32) -> vec4f {
  let inside = (line >= 0) & (x >= 0) & (x < i32(params.width));
  return load4_x(u32(select(0, line + x, inside)) * params.columns + c) * select(0.0, 1.0, inside);
}
${overQuads(
  { lanes },
  `  let c = i % params.columns;
  let tile = params.first + i / params.columns;
  let tx = tile % params.across;
  let rest = tile / params.across;
  let x = ${zoom}i32(tx) - i32(params.pad_left);
  let y = ${zoom}i32(rest % params.down) - params.pad_top;
  let image = rest / params.down;
${range(side)
  .map((r) => `  let line${r} = line_at(image, y + ${r});`)
  .join("\n")}
${square.map(([r, s]) => `  let d${r}_${s} = pixel(line${r}, x + ${s}, c);`).join("\n")}
${inBothAxes({ from: "d", to: "v", side, upsampled }, inputLine)}
${square.map(([p, q]) => `  store4_y(${p * side + q}u * params.quads + i, 0.25 * v${p}_${q});`).join("\n")}`,
)}`;
  },
};
