/**
 * Weights of a 3x3 convolution in the basis of winograd.ts: y[place, cin, cout] of w[3, 3, cin, cout], computed in f32 and rounded once;
 * or in panels of `width` quads of columns (panels.wgsl.ts), y[panel, place, cin, width]. cout % 4 == 0.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { inBothAxes, placesOf, weightLine } from "./winograd.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface WinogradWeightsVariant extends StreamVariant {
  format: Format;
  upsampled: boolean;
  /** Of the basis, whose places are wanted. */
  lines: readonly number[];
}

/** `quads` are those of one place; `columns` of w, a `width` at least. Without panels both are the same. */
export const winogradWeights: Kernel<WinogradWeightsVariant> = {
  name: "winograd weights",
  params: { ...STREAM_PARAMS, ...u32s("cin", "columns", "width") },
  bindings: () => ["read", "write"],
  source({ format, upsampled, lines, lanes }) {
    const side = placesOf(upsampled);
    const taps = range(3).flatMap((r) => range(3).map((s) => [r, s] as const));
    const places = lines.flatMap((p) => range(side).map((q) => [p, q] as const));
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "w", "read", format)}${tensor(2, "y", "write", format)}
${overQuads(
  { lanes },
  `  let block = params.cin * params.width; // of one place in a panel
  let panel = i / block;
  let first = min(panel * params.width, params.columns - params.width);
  let source = i % block / params.width * params.columns + first + i % params.width;
  let place = panel * ${places.length - 1}u * block + i;
${taps.map(([r, s]) => `  let g${r}_${s} = load4_w(${3 * r + s}u * params.cin * params.columns + source);`).join("\n")}
${inBothAxes({ from: "g", to: "u", side: 3, upsampled }, weightLine)}
${places.map(([p, q], at) => `  store4_y(${at}u * block + place, u${p}_${q});`).join("\n")}`,
)}`;
  },
};
