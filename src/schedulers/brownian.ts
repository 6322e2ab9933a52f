/** Brownian motion that can be asked for any interval in any order (torchsde.BrownianInterval with a halfway tree). */
import { Generator } from "../tensor/random.js";
import { generateState } from "./seed_sequence.js";

const POOL = 24;
/** Times are resolved to a millionth, so that the halving of intervals ends. */
const round = (t: number): number => Number(t.toFixed(6));

/** A path over [start, end], fixed by its seed: the increment of an interval is that of both its halves, drawn as a bridge. */
export class BrownianTree {
  readonly #total: Float32Array;
  /** Increments from the start to the times asked for last. */
  #recent = new Map<number, Float32Array>();

  constructor(
    private readonly shape: readonly number[],
    private readonly start: number,
    private readonly end: number,
    private readonly seed: number | bigint,
  ) {
    const [first] = generateState(seed, [], 3, POOL);
    const deviation = Math.fround(Math.sqrt(end - start));
    this.#total = this.#randn(first).map((v) => v * deviation);
  }

  #randn(seed: number): Float32Array {
    return new Generator("cpu").manualSeed(seed).randn(this.shape);
  }

  /** W(to) - W(from); outside the path's ends nothing moves. */
  increment(from: number, to: number): Float32Array {
    const [a, b] = [this.#until(from), this.#until(to)];
    this.#recent = new Map([...this.#recent].slice(-2));
    return b.map((v, i) => v - a[i]);
  }

  /** W(time) - W(start). */
  #until(time: number): Float32Array {
    const t = round(Math.min(this.end, Math.max(this.start, time)));
    const known = this.#recent.get(t);
    if (known) return known;
    const value = this.#descend(t);
    this.#recent.set(t, value);
    return value;
  }

  #descend(t: number): Float32Array {
    const sum = new Float32Array(this.#total.length);
    let [from, to] = [round(this.start), round(this.end)];
    let whole = this.#total;
    if (t === from) return sum;
    if (t === to) return whole;
    for (let depth = 0, key = 0; ; depth++) {
      const middle = round(0.5 * (to + from));
      const [seed] = generateState(this.seed, [key, depth], 4, POOL);
      const part = (middle - from) / (to - from);
      const deviation = Math.sqrt((middle - from) * (to - middle) * (1 / (to - from)));
      const left = this.#randn(seed).map((v, i) => Math.fround(part * whole[i]) + deviation * v);
      if (t >= middle) for (let i = 0; i < sum.length; i++) sum[i] += left[i];
      if (t === middle) return sum;
      const goesRight = t > middle;
      if (goesRight) {
        whole = whole.map((v, i) => v - left[i]);
        from = middle;
      } else {
        whole = left;
        to = middle;
      }
      key = 2 * key + (goesRight ? 1 : 0);
    }
  }
}

/** Standard normal noise between two levels of a path over sigma. */
export type NoiseSampler = (sigma: number, sigmaNext: number) => Float32Array;

/**
 * diffusers' BrownianTreeNoiseSampler: increments divided by the root of the interval's length.
 * @param shape of the samples; with a list of seeds, each seeds a path of its own for one sample
 */
export function brownianNoise(
  shape: readonly number[],
  ends: readonly [number, number],
  seed: number | bigint | readonly (number | bigint)[],
): NoiseSampler {
  const list = Array.isArray(seed) ? (seed as readonly (number | bigint)[]) : null;
  const trees = list
    ? list.map((each) => new BrownianTree(shape.slice(1), ...ends, each))
    : [new BrownianTree(shape, ...ends, seed as number | bigint)];
  if (list && list.length !== shape[0])
    throw new RangeError(`noise_sampler_seed: a list must have one seed per sample, ${shape[0]}, got ${list.length}`);
  return (sigma, sigmaNext) => {
    const scale = (sigma < sigmaNext ? 1 : -1) / Math.sqrt(Math.abs(sigmaNext - sigma));
    const parts = trees.map((tree) => tree.increment(Math.min(sigma, sigmaNext), Math.max(sigma, sigmaNext)));
    const noise = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
    parts.forEach((part, i) =>
      noise.set(
        part.map((v) => v * scale),
        i * part.length,
      ),
    );
    return noise;
  };
}
