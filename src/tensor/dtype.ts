import type { Format } from "../../kernels/wgsl.js";

/** Element types of a Tensor. bfloat16 files are widened on load: WebGPU has no bfloat16. */
export type DType = "float32" | "float16" | "int32";

export const BYTES: Record<DType, number> = { float32: 4, float16: 2, int32: 4 };

/** Buffers are padded to whole quads of four elements (kernels read and write vec4s). */
export const paddedBytes = (size: number, dtype: DType): number => Math.max(16, Math.ceil(size / 4) * 4 * BYTES[dtype]);

export function product(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** How a device's kernels read halves. */
export type HalfFormat = Exclude<Format, "f32">;

/** The kernel format of a floating dtype on a device. */
export function formatOf(dtype: DType, { halfFormat }: { halfFormat: HalfFormat }, op: string): Format {
  if (dtype === "float32") return "f32";
  if (dtype === "float16") return halfFormat;
  throw new TypeError(`${op}: needs a floating-point tensor, got ${dtype}`);
}

/** IEEE 754 half -> float, by a table of all 65,536 values made on first use (Node 20 has no Float16Array). */
let halves: Float32Array | undefined;
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, h) => {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const fraction = h & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = halves[bits[i]];
  return values;
}

/** float -> IEEE 754 half, round to nearest even, overflow to infinity. */
export function float32ToFloat16(values: ArrayLike<number>): Uint16Array {
  const out = new Uint16Array(values.length);
  const f = new Float32Array(1);
  const u = new Uint32Array(f.buffer);
  for (let i = 0; i < values.length; i++) {
    f[0] = values[i];
    const sign = (u[0] >>> 16) & 0x8000;
    const magnitude = u[0] & 0x7fffffff;
    if (magnitude > 0x7f800000) out[i] = sign | 0x7e00;
    else if (magnitude >= 0x47800000) out[i] = sign | 0x7c00;
    else if (magnitude < 0x38800000) {
      // Subnormal half: adding 0.5 leaves the rounded 10-bit fraction in the low bits of the float.
      u[0] = magnitude;
      f[0] += 0.5;
      out[i] = sign | (u[0] - 0x3f000000);
    } else out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  return out;
}
