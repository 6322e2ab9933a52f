/**
 * Pixels of the result from the products of winograd.ts, and the end of the convolution: y[b, oy, ox, o] = activation(4 · … + bias[o] +
 * shift[b, o] + residual[b, oy, ox, o]); winograd_input.wgsl.ts says what the 4 is.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { chosen, hidden } from "./loops.js";
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { inBothAxes, outputLine, placesOf } from "./winograd.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface WinogradOutputVariant extends StreamVariant {
  format: Format;
  upsampled: boolean;
  activation: Activation;
  bias: boolean;
  shift: boolean;
  residual: boolean;
}

const shiftOfImage = "load4_shift(((params.shift_start + image * params.shift_stride) >> 2u) + column)";

const terms = ({ bias, shift, residual }: WinogradOutputVariant): string[] =>
  Object.entries({ bias, shift, residual }).flatMap(([name, present]) => (present ? [name] : []));

/** `quads` are those of one place; the rest as in winograd_input.wgsl.ts and conv2d.wgsl.ts. */
export const winogradOutput: Kernel<WinogradOutputVariant> = {
  name: "winograd output",
  params: {
    ...STREAM_PARAMS,
    ...u32s("columns", "first", "across", "down", "height", "width", "shift_stride", "shift_start"),
  },
  bindings: (variant) => ["read", "write", ...terms(variant).map(() => "read" as const)],
  source(variant) {
    const { format, upsampled, activation, bias, shift, residual, lanes } = variant;
    const side = placesOf(upsampled);
    const places = range(side).flatMap((p) => range(side).map((q) => [p, q] as const));
    const pixels = range(2).flatMap((a) => range(2).map((b) => `sum${a}_${b}`));
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "sums", "read", "f32")}${tensor(2, "y", "write", format)}
${terms(variant)
  .map((name, i) => tensor(3 + i, name, "read", format))
  .join("")}
${activationFunctions}
fn finished(sum: vec4f, at: u32) -> vec4f {
  var value = sum;
  #if ${residual}
  value += load4_residual(at);
  #endif
  return ${activate(activation, "value")};
}
${overQuads(
  { lanes },
  `  let column = i % params.columns;
  let tile = params.first + i / params.columns;
  let rest = tile / params.across;
  let x = 2u * (tile % params.across);
  let y = 2u * (rest % params.down);
  let image = rest / params.down;
${places.map(([p, q]) => `  let m${p}_${q} = load4_sums(${p * side + q}u * params.quads + i);`).join("\n")}
${inBothAxes({ from: "m", to: "sum", side, upsampled }, outputLine)}
  let added = vec4f()${bias ? " + load4_bias(column)" : ""}${shift ? ` + ${shiftOfImage}` : ""};
  let pixels = ${hidden(4, "params.width == 0u")};
  for (var pixel = 0u; pixel < pixels; pixel++) {
    let left = x + (pixel & 1u);
    let top = y + (pixel >> 1u);
    if ((left < params.width) & (top < params.height)) {
      let at = ((image * params.height + top) * params.width + left) * params.columns + column;
      store4_y(at, finished(4.0 * ${chosen(pixels, "pixel")} + added, at));
    }
  }`,
)}`;
  },
};
