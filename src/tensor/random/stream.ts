import type { RandomDtype } from "./round.js";

/** Either kind of values: Float64Array for float64, else Float32Array. */
export type Values = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** What a device's generator must do; counts, not shapes. */
export interface RandomStream {
  seed(seed: bigint): void;
  randn(count: number, dtype: RandomDtype): Values;
  rand(count: number, dtype: RandomDtype): Values;
  randint(low: number, high: number, count: number): Float64Array;
  /** Plain data that setState takes. */
  getState(): unknown;
  setState(state: unknown): void;
}

/** torch draws whole numbers from 64 bits where 32 would be visibly skewed: 2^28 in torch 2.13, 2^32 before. */
export const WIDE_RANGE = 2 ** 28;

/** low + (64 bits mod range), exactly. */
export function wideInteger(high32: number, low32: number, low: number, range: number): number {
  return low + Number(((BigInt(high32) << 32n) | BigInt(low32)) % BigInt(range));
}
