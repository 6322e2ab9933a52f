import { plainOptions } from "../arguments/options.js";
import { shown } from "../arguments/shown.js";
// jax.random with its default generator, Threefry 2x32-20 (Salmon et al. 2011; jax/_src/prng.py, jax/_src/random.py), x64 off.

const { fround } = Math;

/** A key: two words, as `jax.random.PRNGKey` shows them. */
export type JAXKey = Uint32Array<ArrayBuffer>;

/**
 * `jax_threefry_partitionable`: false gives the numbers of jax before 0.5, with which diffusers' Flax pipelines ran (the
 * default here), true those of later versions.
 */
export interface JAXOptions {
  partitionable?: boolean | null;
}

const isPartitionable = (op: string, options: JAXOptions | null | undefined): boolean =>
  Boolean(plainOptions(options, ["partitionable"], op).partitionable);

/** Arrays of words through Threefry with one key, in place. */
function threefry(key: JAXKey, x0: Uint32Array, x1: Uint32Array): void {
  const keys = [key[0], key[1], (key[0] ^ key[1] ^ 0x1bd11bda) >>> 0];
  for (let i = 0; i < x0.length; i++) {
    let a = (x0[i] + keys[0]) | 0;
    let b = (x1[i] + keys[1]) | 0;
    for (let round = 0; round < 5; round++) {
      for (const rotation of round % 2 ? ODD : EVEN) {
        a = (a + b) | 0;
        b = ((b << rotation) | (b >>> (32 - rotation))) ^ a;
      }
      a = (a + keys[(round + 1) % 3]) | 0;
      b = (b + keys[(round + 2) % 3] + round + 1) | 0;
    }
    x0[i] = a;
    x1[i] = b;
  }
}

const EVEN = [13, 15, 26, 6];
const ODD = [17, 29, 16, 24];

const iota = (count: number, start = 0): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: count }, (_, i) => start + i);

/** jax.random.PRNGKey(seed): [0, low 32 bits of the seed]. Throws RangeError unless the seed is a whole number. */
export function PRNGKey(seed: number | bigint): JAXKey {
  if (typeof seed !== "bigint" && !Number.isInteger(seed)) {
    throw new RangeError(`PRNGKey: the seed must be a whole number, got ${shown(seed)}`);
  }
  return Uint32Array.of(0, Number(BigInt.asUintN(32, BigInt(seed))));
}

function checkKey(op: string, key: JAXKey): void {
  if (!(key instanceof Uint32Array) || key.length !== 2) {
    throw new RangeError(`${op}: expected a key of 2 words (PRNGKey, split), got ${shown(key)}`);
  }
}

/** jax.random.split(key, num): new keys. */
export function split(key: JAXKey, count = 2, options?: JAXOptions | null): JAXKey[] {
  checkKey("split", key);
  const partitionable = isPartitionable("split", options);
  if (!Number.isInteger(count) || count < 0) {
    throw new RangeError(`split: the number of keys must be a whole number from 0, got ${shown(count)}`);
  }
  const [a, b] = partitionable ? [new Uint32Array(count), iota(count)] : [iota(count), iota(count, count)];
  threefry(key, a, b);
  if (partitionable) return Array.from({ length: count }, (_, i) => Uint32Array.of(a[i], b[i]));
  // Both halves one behind the other, read as pairs.
  const word = (i: number): number => (i < count ? a[i] : b[i - count]);
  return Array.from({ length: count }, (_, i) => Uint32Array.of(word(2 * i), word(2 * i + 1)));
}

/** jax.random.fold_in(key, data): the key for one item, such as a step. */
export function foldIn(key: JAXKey, data: number): JAXKey {
  checkKey("foldIn", key);
  const [a, b] = [Uint32Array.of(0), Uint32Array.of(data)];
  threefry(key, a, b);
  return Uint32Array.of(a[0], b[0]);
}

/** jax.random.bits(key, shape): 32 random bits each. */
export function bits(key: JAXKey, shape: readonly number[], options?: JAXOptions | null): Uint32Array<ArrayBuffer> {
  checkKey("bits", key);
  const partitionable = isPartitionable("bits", options);
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isInteger(count) || shape.some((size) => size < 0) || count > 2 ** 31) {
    throw new RangeError(`bits: the shape must hold whole numbers from 0, got [${shape}]`);
  }
  if (partitionable) {
    const [a, b] = [new Uint32Array(count), iota(count)];
    threefry(key, a, b);
    return a.map((word, i) => word ^ b[i]);
  }
  const half = Math.ceil(count / 2);
  const [a, b] = [iota(half), iota(half, half)];
  if (count % 2) b[half - 1] = 0; // an odd count is filled up with a 0
  threefry(key, a, b);
  const words = new Uint32Array(count);
  words.set(a);
  words.set(b.subarray(0, count - half), half);
  return words;
}

const SCRATCH = new Uint32Array(1);
const AS_FLOAT = new Float32Array(SCRATCH.buffer);

/** 23 bits as a float in [0, 1). */
function unit(word: number): number {
  SCRATCH[0] = (word >>> 9) | 0x3f800000;
  return AS_FLOAT[0] - 1;
}

/** jax.random.uniform(key, shape): float32 in [0, 1). */
export function uniform(key: JAXKey, shape: readonly number[], options?: JAXOptions | null): Float32Array<ArrayBuffer> {
  return Float32Array.from(bits(key, shape, options), unit);
}

const LOW = fround(-1 + 2 ** -24); // nextafter(-1, 0)
const SPAN = fround(1 - LOW);
const SQRT_2 = fround(Math.SQRT2);

/** jax.random.normal(key, shape): float32 standard normals, within 1e-6 of XLA's (the bits under them are exact). */
export function normal(key: JAXKey, shape: readonly number[], options?: JAXOptions | null): Float32Array<ArrayBuffer> {
  return Float32Array.from(bits(key, shape, options), (word) => {
    const u = Math.max(LOW, fround(unit(word) * SPAN + LOW));
    return SQRT_2 * erfinv(u);
  });
}

const CENTRE = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
].map(fround);
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
].map(fround);

/** Inverse error function in float32: the polynomial of Giles (2010) that XLA uses. */
function erfinv(x: number): number {
  const w = -fround(Math.log1p(fround(-x * x)));
  const centre = w < 5;
  const t = fround(centre ? w - 2.5 : Math.sqrt(w) - 3);
  const p = (centre ? CENTRE : TAIL).reduce((sum, coefficient) => fround(coefficient + fround(sum * t)));
  return fround(p * x);
}
