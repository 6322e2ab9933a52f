import { philox } from "./philox.js";
import { allocate, roundTo, type RandomDtype } from "./round.js";
import { WIDE_RANGE, wideInteger, type RandomStream, type Values } from "./stream.js";

/**
 * Threads of a launch: multiprocessors x 2048 on an A100. Up to so many values each thread draws one, and all GPUs agree;
 * beyond it they differ, and this is the A100's order.
 */
const THREADS = 108 * 2048;

// curand_normal.h: CURAND_2POW32_INV and CURAND_2POW32_INV_2PI are floats.
const { fround } = Math;
const INV = fround(2.3283064e-10);
const INV_2PI = fround(fround(2.3283064e-10) * fround(6.2831855));

interface State {
  seed: bigint;
  offset: number;
}

/**
 * torch.Generator("cuda"): curand's Philox as ATen/native/cuda/DistributionTemplates.h launches it. The words are exact;
 * normals differ from a GPU's by up to about 2e-6, since it computes logarithm and sine with fast approximations.
 */
export class TorchCUDA implements RandomStream {
  #seed = 0n;
  #offset = 0;

  seed(seed: bigint): void {
    this.#seed = seed;
    this.#offset = 0;
  }

  /** Calls `visit(element, slot, words)`: a thread draws 4 words and uses slot 0, then 1, … for its next elements. */
  #draw(count: number, slots: number, visit: (element: number, slot: number, words: Uint32Array) => void): void {
    const key0 = Number(this.#seed & 0xffffffffn);
    const key1 = Number(this.#seed >> 32n);
    const words = new Uint32Array(4);
    const counter = new Uint32Array(4);
    const perRound = THREADS * slots;
    for (let start = 0; start < count; start += perRound) {
      counter[0] = this.#offset;
      counter[1] = Math.floor(this.#offset / 2 ** 32);
      const threads = Math.min(THREADS, count - start);
      for (let thread = 0; thread < threads; thread++) {
        counter[2] = thread;
        philox(counter, key0, key1, words);
        for (let slot = 0; slot < slots; slot++) {
          const element = start + slot * THREADS + thread;
          if (element < count) visit(element, slot, words);
        }
      }
      this.#offset++;
    }
  }

  randn(count: number, dtype: RandomDtype): Values {
    if (dtype === "float64")
      throw new RangeError('Generator("cuda").randn: dtype float64 is not available; use "float32"');
    const values = allocate(dtype, count);
    this.#draw(count, 4, (element, slot, words) => {
      const pair = slot & 2;
      const radius = Math.sqrt(-2 * Math.log(words[pair] * INV + INV / 2));
      const angle = words[pair + 1] * INV_2PI + INV_2PI / 2;
      values[element] = radius * (slot & 1 ? Math.cos(angle) : Math.sin(angle));
    });
    roundTo(dtype, values);
    return values;
  }

  /** curand gives (0, 1]; torch turns 1 into 0. */
  rand(count: number, dtype: RandomDtype): Values {
    if (dtype === "float64")
      throw new RangeError('Generator("cuda").rand: dtype float64 is not available; use "float32"');
    const values = allocate(dtype, count);
    this.#draw(count, 4, (element, slot, words) => {
      values[element] = fround(fround(words[slot] * INV) + INV / 2);
    });
    roundTo(dtype, values);
    for (let i = 0; i < count; i++) if (values[i] === 1) values[i] = 0;
    return values;
  }

  randint(low: number, high: number, count: number): Float64Array {
    const range = high - low;
    const values = new Float64Array(count);
    if (range >= WIDE_RANGE) {
      this.#draw(count, 2, (element, slot, words) => {
        values[element] = wideInteger(words[2 * slot], words[2 * slot + 1], low, range);
      });
    } else {
      this.#draw(count, 4, (element, slot, words) => {
        values[element] = low + (words[slot] % range);
      });
    }
    return values;
  }

  getState(): State {
    return { seed: this.#seed, offset: this.#offset };
  }

  setState(state: State): void {
    this.#seed = state.seed;
    this.#offset = state.offset;
  }
}
