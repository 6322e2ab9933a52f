/** Numbers for tests and benchmarks: seeded, the same everywhere, rounded as the tensor that will hold them. */
import { float16ToFloat32, float32ToFloat16 } from "../../src/tensor/dtype.js";

export type FloatType = "float32" | "float16";

/** A block of a prime length is drawn and repeated: large tensors are cheap, and no row repeats at a power of two. */
const BLOCK = 65537;

/** The linear congruential generator of Numerical Recipes (Press et al. 2007, section 7.1.1). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 2654435761) >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  /** An integer in [0, below). */
  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** Near enough normal: the sum of four uniforms, so never beyond 3.5 standard deviations. */
  normal(count: number, { mean = 0, std = 1 } = {}): Float32Array {
    const block = new Float32Array(Math.min(count, BLOCK));
    const width = std * Math.sqrt(3);
    for (let i = 0; i < block.length; i++)
      block[i] = mean + width * (this.next() + this.next() + this.next() + this.next() - 2);
    return repeat(block, count);
  }
}

function repeat(block: Float32Array, count: number): Float32Array {
  if (block.length === count) return block;
  const all = new Float32Array(count);
  for (let i = 0; i < count; i += block.length) all.set(block.subarray(0, Math.min(block.length, count - i)), i);
  return all;
}

/** The numbers as they will be in a tensor of this dtype. */
export function rounded(values: Float32Array, dtype: FloatType): Float32Array {
  if (dtype === "float32") return values;
  if (values.length <= BLOCK) return float16ToFloat32(float32ToFloat16(values));
  return repeat(float16ToFloat32(float32ToFloat16(values.subarray(0, BLOCK))), values.length);
}

/** Computes one element of a result, in float64. */
export type Reference = (index: number) => number;

/** All indices below `size`, or `most` of them: the first, the last, and a random one of each of as many equal parts, so of all rows. */
export function sample(size: number, most: number): number[] {
  if (size <= most) return Array.from({ length: size }, (_, i) => i);
  const random = new Random(size);
  const ends = [0, 1, 2, 3, size - 4, size - 3, size - 2, size - 1];
  const parts = most - ends.length;
  return [...ends, ...Array.from({ length: parts }, (_, i) => Math.floor(((i + random.next()) / parts) * size))];
}

/** Activations as torch defines them, in float64; erf by its Taylor series and, far out, its continued fraction. */
export const activations = {
  gelu_tanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  none: (x: number): number => x,
  silu: (x: number): number => x / (1 + Math.exp(-x)),
  quick_gelu: (x: number): number => x / (1 + Math.exp(-1.702 * x)),
  gelu: (x: number): number => 0.5 * x * erfc(-x * Math.SQRT1_2),
  mish: (x: number): number => x * Math.tanh(Math.log1p(Math.exp(x))),
  relu: (x: number): number => Math.max(0, x),
};

function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}
