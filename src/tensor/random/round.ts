/** Types that random numbers come in; of the half types the values are given as float32. */
export type RandomDtype = "float32" | "float16" | "bfloat16" | "float64";

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
/** Adding and subtracting it rounds a small double to a whole number, ties to even. */
const ROUND = 1.5 * 2 ** 52;

function toFloat16(value: number): number {
  f32[0] = value;
  const exponent = Math.max(((u32[0] >>> 23) & 0xff) - 127, -14);
  const unit = 2 ** (exponent - 10);
  const rounded = (f32[0] / unit + ROUND - ROUND) * unit;
  return Math.abs(rounded) > 65504 ? Math.sign(rounded) * Infinity : rounded;
}

function toBfloat16(value: number): number {
  f32[0] = value;
  u32[0] = (u32[0] + 0x7fff + ((u32[0] >>> 16) & 1)) & 0xffff0000;
  return f32[0];
}

/** Rounds finite float32 values in place to the nearest of a half type, ties to even; other types are left alone. */
export function roundTo(dtype: RandomDtype, values: Float32Array | Float64Array): void {
  if (dtype === "float16") for (let i = 0; i < values.length; i++) values[i] = toFloat16(values[i]);
  if (dtype === "bfloat16") for (let i = 0; i < values.length; i++) values[i] = toBfloat16(values[i]);
}

/** Room for `count` values of a type. */
export function allocate(dtype: RandomDtype, count: number): Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> {
  return dtype === "float64" ? new Float64Array(count) : new Float32Array(count);
}
