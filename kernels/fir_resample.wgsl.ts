/**
 * Resampling on NHWC by a small separable filter, channel by channel (upfirdn): zeros are put between the pixels where
 * the size doubles, the edges are padded, the filter is applied, and every `down`-th pixel is kept.
 *   y[i, j] = sum over k, l of taps[k] taps[l] x~[down i + k - pad, down j + l - pad]
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const MAX_TAPS = 4;

export interface FirVariant extends StreamVariant {
  format: Format;
  aligned: boolean;
  taps: number;
  /** Past the edge the image is mirrored (without repeating the edge), instead of zero. */
  reflect: boolean;
}

export const firResample: Kernel<FirVariant> = {
  name: "fir_resample",
  /** `up`: 0, or 1 to double the size. */
  params: {
    ...STREAM_PARAMS,
    ...u32s("size", "height", "width", "channels", "out_height", "out_width", "up", "down", "pad"),
    ...Object.fromEntries(range(MAX_TAPS).map((k) => [`tap${k}`, "f32" as const])),
  },
  bindings: () => ["read", "write"],
  source({ format, aligned, taps, reflect, lanes }) {
    const value = aligned ? "vec4f" : "f32";
    const load = aligned ? "load4_x(at >> 2u)" : "load_x(at)";
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
/** The pixel at a place of the padded, stuffed axis; -1 for a zero. */
fn pixel(place: i32, size: u32) -> i32 {
  if (params.up == 1u && (place & 1) != 0) { return -1; }
  var i = place >> params.up;
  let last = i32(size) - 1;
  #if ${reflect}
  i = abs(i);
  return clamp(select(i, 2 * last - i, i > last), 0, last);
  #else
  return select(i, -1, i < 0 || i > last);
  #endif
}
fn filtered(element: u32) -> ${value} {
  let e = min(element, params.size - 1u);
  let column = e / params.channels % params.out_width;
  let row = e / params.channels / params.out_width;
  let image = row / params.out_height * params.height;
  let taps = array<f32, ${taps}>(${range(taps)
    .map((k) => `params.tap${k}`)
    .join(", ")});
  var sum = ${value}();
  for (var k = 0u; k < ${taps}u; k++) {
    let i = pixel(i32(row % params.out_height * params.down + k) - i32(params.pad), params.height);
    if (i < 0) { continue; }
    for (var l = 0u; l < ${taps}u; l++) {
      let j = pixel(i32(column * params.down + l) - i32(params.pad), params.width);
      if (j < 0) { continue; }
      let at = ((image + u32(i)) * params.width + u32(j)) * params.channels + e % params.channels;
      sum += taps[k] * taps[l] * ${load};
    }
  }
  return sum;
}
${overElements({ lanes }, "filtered", aligned)}`;
  },
};
