/** WGSL text that makes halves of floats by integer arithmetic, for drivers whose own conversion is slow. */

/**
 * Statements that store `v`, a vec4f, as two words into `target`: IEEE 754 halves, rounded to nearest even, too large ones to
 * infinity, NaN kept. llvmpipe takes pack2x16float apart into branches of its own for every number: the last step of a float16
 * norm took 1.35 to 1.7 times as long, and its compiling twice. The steps are those of float32ToFloat16 (src/tensor/dtype.ts), Giesen's
 * "float_to_half_fast3_rtne".
 */
export const storeHalves = (target: string): string => `let bits = bitcast<vec4u>(v);
  let size = bits & vec4u(0x7fffffffu);
  // Halves below 2^-14 are multiples of 2^-24, and so is the last digit of a float from 0.5 to 1.
  let small = bitcast<vec4u>(bitcast<vec4f>(size) + 0.5) - vec4u(0x3f000000u);
  let large = min((size + vec4u(0xc8000fffu) + ((size >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u), vec4u(0x7c00u));
  let nan = select(vec4u(), vec4u(0x200u), size > vec4u(0x7f800000u));
  let half = select(large, small, size < vec4u(0x38800000u)) | nan | ((bits >> vec4u(16u)) & vec4u(0x8000u));
  ${target} = half.xz | (half.yw << vec2u(16u));`;
