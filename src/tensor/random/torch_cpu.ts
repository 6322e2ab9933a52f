import { fillNormal } from "./avx_normal.js";
import { MT19937 } from "./mt19937.js";
import { allocate, roundTo, type RandomDtype } from "./round.js";
import { WIDE_RANGE, wideInteger, type RandomStream, type Values } from "./stream.js";

interface State {
  words: Uint32Array;
  cached: number | null;
}

/** torch.Generator("cpu"): ATen/native/cpu/DistributionTemplates.h and core/DistributionsHelper.h of torch 2.13. */
export class TorchCPU implements RandomStream {
  readonly #twister = new MT19937();
  /** The sine half of the last scalar pair: the next small call begins with it. */
  #cached: number | null = null;

  seed(seed: bigint): void {
    this.#twister.seed(Number(seed & 0xffffffffn));
    this.#cached = null;
  }

  /** float64: 53 bits of two words, the first the high half; else 24 bits of one. */
  #uniform(dtype: RandomDtype): number {
    if (dtype !== "float64") return (this.#twister.next() & 0xffffff) * 2 ** -24;
    const high = this.#twister.next() & 0x1fffff;
    return (high * 2 ** 32 + this.#twister.next()) * 2 ** -53;
  }

  #fillUniform(values: Values, dtype: RandomDtype, start = 0, end = values.length): void {
    for (let i = start; i < end; i++) values[i] = this.#uniform(dtype);
  }

  rand(count: number, dtype: RandomDtype): Values {
    const values = allocate(dtype, count);
    this.#fillUniform(values, dtype);
    if (dtype === "float16" || dtype === "bfloat16") {
      roundTo(dtype, values);
      for (let i = 0; i < count; i++) if (values[i] === 1) values[i] = 0;
    }
    return values;
  }

  randn(count: number, dtype: RandomDtype): Values {
    const values = allocate(dtype, count);
    if (count < 16) {
      for (let i = 0; i < count; i++) values[i] = this.#scalarNormal();
    } else {
      this.#vectorNormal(values, dtype);
    }
    roundTo(dtype, values);
    return values;
  }

  /** Fewer than 16 values come one at a time, in double precision whatever the type. */
  #scalarNormal(): number {
    if (this.#cached !== null) {
      const value = this.#cached;
      this.#cached = null;
      return value;
    }
    const angle = 2 * Math.PI * this.#uniform("float64");
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform("float64")));
    this.#cached = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Blocks of 16; where they do not fit, the last 16 values are drawn and computed anew. */
  #vectorNormal(values: Values, dtype: RandomDtype): void {
    const count = values.length;
    const rest = count % 16;
    const whole = count - rest;
    const fill = (start: number, end: number): void =>
      values instanceof Float32Array ? fillNormal(values, start, end) : fillNormal64(values, start, end);
    // The half types draw nothing for the part that is drawn anew.
    this.#fillUniform(values, dtype, 0, dtype === "float16" || dtype === "bfloat16" ? whole : count);
    fill(0, whole);
    if (rest > 0) {
      this.#fillUniform(values, dtype, count - 16, count);
      fill(count - 16, count);
    }
  }

  randint(low: number, high: number, count: number): Float64Array {
    const range = high - low;
    const wide = range >= WIDE_RANGE;
    return Float64Array.from({ length: count }, () => {
      const word = this.#twister.next();
      return wide ? wideInteger(word, this.#twister.next(), low, range) : low + (word % range);
    });
  }

  getState(): State {
    return { words: this.#twister.getState(), cached: this.#cached };
  }

  setState(state: State): void {
    this.#twister.setState(state.words);
    this.#cached = state.cached;
  }
}

/** fillNormal in double precision. */
function fillNormal64(values: Float64Array, start: number, end: number): void {
  for (let block = start; block < end; block += 16) {
    for (let j = block; j < block + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - values[j]));
      const angle = 2 * Math.PI * values[j + 8];
      values[j] = radius * Math.cos(angle);
      values[j + 8] = radius * Math.sin(angle);
    }
  }
}
