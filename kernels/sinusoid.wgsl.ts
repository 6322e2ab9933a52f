/**
 * Sines and cosines of angles = t * frequency * factor, in that order of roundings. WGSL's own sin and cos are only
 * good near zero, and angles reach thousands: the argument is reduced by multiples of pi/2 in three parts (Cody and
 * Waite), then Cephes' polynomials (sinf, cosf) give 1e-7.
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, wgsl, type Kernel } from "./wgsl.js";

export const sinusoid: Kernel<StreamVariant> = {
  name: "sinusoid",
  /** `width`: of a row, 2 * half or one more, which is 0; `flip`: cosines first; `zero`: 0. */
  params: { ...STREAM_PARAMS, ...u32s("size", "width", "half", "flip", "zero"), factor: "f32" },
  bindings: () => ["read", "read", "write"],
  source({ lanes }) {
    return wgsl`${paramsStruct(this.params)}
${tensor(1, "t", "read", "f32")}${tensor(2, "frequency", "read", "f32")}${tensor(3, "y", "write", "f32")}
// The number itself, which no compiler may know: Metal's fast math would make one factor of the three parts (5e-5 off at 1000).
fn apart(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ params.zero); }
fn wave(angle: f32, cosine: bool) -> f32 {
  let turns = round(angle * 0.63661977236758134);
  let r = apart(apart(angle - turns * 1.5703125) - turns * 4.83751296997070312e-4) - turns * 7.54978995489188216e-8;
  let quadrant = (i32(turns) + select(0, 1, cosine)) & 3;
  let z = r * r;
  let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let cosinus = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let value = select(sine, cosinus, (quadrant & 1) == 1);
  return select(value, -value, quadrant > 1);
}
fn at(element: u32) -> f32 {
  let e = min(element, params.size - 1u);
  let column = e % params.width;
  if (column >= 2u * params.half) { return 0.0; }
  let angle = load_t(e / params.width) * load_frequency(column % params.half) * params.factor;
  return wave(angle, (column < params.half) == (params.flip == 1u));
}
${overElements({ lanes }, "at", false)}`;
  },
};
