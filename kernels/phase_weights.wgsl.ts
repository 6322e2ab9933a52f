/**
 * The weights of conv2d's four phases: of a 3x3 convolution of an image doubled in both directions (nearest), four of its nine
 * taps meet the same pixel of the small image, two and two another, so result pixel (2i + py, 2j + px) is a 2x2 convolution
 * with sums of taps. Of rows: w0 | w1 + w2 for py = 0 and w0 + w1 | w2 for py = 1; the same of columns. Summed in f32.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const phaseWeights: Kernel<{ format: Format } & StreamVariant> = {
  name: "phase_weights",
  params: { ...STREAM_PARAMS, ...u32s("cin", "cout") },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "w", "read", format)}${tensor(2, "y", "write", format)}
/** The taps of the large kernel, first and one past the last, that make one of the two of a phase. */
fn taps(phase: u32, tap: u32) -> vec2u { let first = tap * (1u + phase); return vec2u(first, first + 1u + (phase ^ tap)); }
${overQuads(
  { lanes },
  `
  let quads = params.cin * (params.cout >> 2u); // of one tap
  let which = i / quads; // phase y, phase x, tap y, tap x
  let ys = taps(which >> 3u, (which >> 1u) & 1u);
  let xs = taps((which >> 2u) & 1u, which & 1u);
  var sum = vec4f();
  for (var ky = ys.x; ky < ys.y; ky++) {
    for (var kx = xs.x; kx < xs.y; kx++) { sum += load4_w((ky * 3u + kx) * quads + i % quads); }
  }
  store4_y(i, sum);`,
)}`;
  },
};
