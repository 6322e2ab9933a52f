import { shown } from "../arguments/shown.js";
import { givenOptions } from "../arguments/spelling.js";
import type { RandomDtype } from "./random/round.js";
import type { RandomStream, Values } from "./random/stream.js";
import { TorchCPU } from "./random/torch_cpu.js";
import { TorchCUDA } from "./random/torch_cuda.js";

export type { RandomDtype } from "./random/round.js";

/** `dtype` is what the numbers are rounded to, and decides how they are drawn; "float32" by default. */
export interface RandomOptions<D extends RandomDtype = RandomDtype> {
  dtype?: D | null;
}

/** Float64Array for float64; Float32Array for the others (of float16 and bfloat16 each value is one of theirs). */
export type RandomArray<D extends RandomDtype> = D extends "float64"
  ? Float64Array<ArrayBuffer>
  : Float32Array<ArrayBuffer>;

/** What getState gives and setState takes. */
export interface GeneratorState {
  device: "cpu" | "cuda";
  seed: bigint;
  stream: unknown;
}

const DEFAULT_SEED = 67280421310721n;

/**
 * torch.Generator: the numbers that torch gives for a seed, on its CPU (mt19937; float32 bit for bit) or on CUDA (Philox).
 *
 * @example
 * const generator = new Generator("cpu").manualSeed(8);
 * const latents = generator.randn([1, 4, 64, 64]);
 */
export class Generator {
  static readonly className = "Generator";
  /** Whose numbers it gives. */
  readonly device: "cpu" | "cuda";
  readonly #stream: RandomStream;
  #seed = DEFAULT_SEED;

  /** @param device whose numbers to give; nothing runs there. Throws RangeError for other names. */
  constructor(device: string = "cpu") {
    if (device !== "cpu" && !/^cuda(:\d+)?$/.test(device)) {
      throw new RangeError(`Generator: the device must be "cpu" or "cuda", got ${shown(device)}`);
    }
    this.device = device === "cpu" ? "cpu" : "cuda";
    this.#stream = this.device === "cpu" ? new TorchCPU() : new TorchCUDA();
    this.manualSeed(DEFAULT_SEED);
  }

  /** Starts the stream of a seed from -2^63 to 2^64-1. The CPU's depends on the low 32 bits only, as in torch. */
  manualSeed(seed: number | bigint): this {
    if (typeof seed !== "bigint" && !Number.isInteger(seed)) {
      throw new RangeError(`Generator.manualSeed: the seed must be a whole number, got ${shown(seed)}`);
    }
    const value = BigInt(seed);
    if (value < -(1n << 63n) || value >= 1n << 64n) {
      throw new RangeError(`Generator.manualSeed: the seed must lie from -2^63 to 2^64-1, got ${value}`);
    }
    this.#seed = BigInt.asUintN(64, value);
    this.#stream.seed(this.#seed);
    return this;
  }

  /** Starts the stream of a seed nobody chose, and returns that. */
  seed(): number {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    const seed = (high & 0x1fffff) * 2 ** 32 + low;
    this.manualSeed(seed);
    return seed;
  }

  /** The seed of this stream, from 0 to 2^64-1; a bigint where a number would not be exact. */
  initialSeed(): number | bigint {
    return this.#seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(this.#seed) : this.#seed;
  }

  /** torch.randn: standard normals of a shape, row-major. @throws RangeError for no shape, over 2^31 values, another dtype */
  randn<D extends RandomDtype = "float32">(
    shape: readonly number[],
    options?: RandomOptions<D> | null,
  ): RandomArray<D> {
    return typed<D>(this.#stream.randn(elements("randn", shape), dtypeOf("randn", options)));
  }

  /** torch.rand: uniforms in [0, 1). @throws RangeError as randn */
  rand<D extends RandomDtype = "float32">(shape: readonly number[], options?: RandomOptions<D> | null): RandomArray<D> {
    return typed<D>(this.#stream.rand(elements("rand", shape), dtypeOf("rand", options)));
  }

  /** torch.randint: whole numbers from low to high - 1; Int32Array where they fit, else Float64Array. */
  randint(low: number, high: number, shape: readonly number[]): Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer> {
    if (!(Number.isSafeInteger(low) && Number.isSafeInteger(high) && low < high && Number.isSafeInteger(high - low))) {
      throw new RangeError(
        `Generator.randint: low and high must be whole numbers with low < high, got ${shown(low)} and ${shown(high)}`,
      );
    }
    const values = this.#stream.randint(low, high, elements("randint", shape));
    return low >= -(2 ** 31) && high <= 2 ** 31 ? Int32Array.from(values) : new Float64Array(values);
  }

  /** A copy of the state; setState of any generator of the same device goes on from there. */
  getState(): GeneratorState {
    return { device: this.device, seed: this.#seed, stream: this.#stream.getState() };
  }

  /** Goes on from a state of getState(). @throws RangeError for one of the other device */
  setState(state: GeneratorState): this {
    if (state?.device !== this.device) {
      throw new RangeError(`Generator.setState: expected a state of a ${this.device} generator, got ${shown(state)}`);
    }
    this.#seed = state.seed;
    this.#stream.setState(state.stream);
    return this;
  }
}

/** The streams give the array that the type says. */
const typed = <D extends RandomDtype>(values: Values): RandomArray<D> => values as RandomArray<D>;

function dtypeOf(op: string, options: RandomOptions | null | undefined): RandomDtype {
  const { dtype = "float32" } = givenOptions(options, ["dtype"], `Generator.${op}`);
  if (["float32", "float16", "bfloat16", "float64"].includes(dtype)) return dtype;
  throw new RangeError(`Generator.${op}: dtype must be float32, float16, bfloat16 or float64, got ${shown(dtype)}`);
}

function elements(op: string, shape: readonly number[]): number {
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.some((size) => !Number.isInteger(size) || size < 0) || count > 2 ** 31) {
    throw new RangeError(
      `Generator.${op}: the shape must hold whole numbers from 0, 2^31 values at most, got [${shape}]`,
    );
  }
  return count;
}

/**
 * diffusers.utils.randn_tensor: with n generators each draws one item [1, ...shape[1:]] of the batch; a list of one is as
 * that one. Without a generator the numbers differ each time.
 *
 * @throws RangeError if there are several generators, and not as many as the batch has items
 */
export function randnTensor<D extends RandomDtype = "float32">(
  shape: readonly number[],
  options?: (RandomOptions<D> & { generator?: Generator | readonly Generator[] | null }) | null,
): RandomArray<D> {
  const { generator, dtype } = givenOptions(options, ["generator", "dtype"], "randnTensor");
  const list = Array.isArray(generator) ? (generator as readonly Generator[]) : null;
  if (list === null || list.length === 1) {
    const single = list ? list[0] : (generator as Generator | undefined);
    if (single) return single.randn(shape, { dtype });
    const fresh = new Generator("cpu");
    fresh.seed();
    return fresh.randn(shape, { dtype });
  }
  if (list.length !== shape[0]) {
    throw new RangeError(
      `You have passed a list of generators of length ${list.length}, but requested an effective batch size of ` +
        `${shape[0]}. Make sure the batch size matches the length of the generators.`,
    );
  }
  const parts = list.map((each) => each.randn([1, ...shape.slice(1)], { dtype }));
  const all =
    dtype === "float64" ? new Float64Array(elements("randn", shape)) : new Float32Array(elements("randn", shape));
  parts.forEach((part, i) => all.set(part, i * part.length));
  return typed<D>(all);
}
