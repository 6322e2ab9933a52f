import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";

/**
 * The last tensors that a scheduler remembers between steps. They are its own copies: whoever called `step` may dispose
 * what he passed in and what he got back.
 */
export class History {
  #items: Tensor[] = [];

  constructor(private readonly capacity = Infinity) {}

  get length(): number {
    return this.#items.length;
  }

  /** As Array.prototype.at: -1 is the newest. Throws if there is none. */
  at(index: number): Tensor {
    const item = this.#items.at(index);
    if (!item) throw new RangeError(`history: has ${this.#items.length} entries, got index ${index}`);
    return item;
  }

  /** All of them, for the formulas of multistep methods. */
  get newestFirst(): readonly Tensor[] {
    return this.#items.slice().reverse();
  }

  /** Remembers a copy of `x`, and forgets the oldest entry beyond the capacity. */
  push(x: Tensor | Linear): Tensor {
    const copy = (x instanceof Linear ? x : Linear.of(x)).toTensor();
    return this.adopt(copy);
  }

  /** Remembers `x` itself, which nobody else may dispose. */
  adopt(x: Tensor): Tensor {
    this.#items.push(x.device.keep(x));
    this.keep(this.capacity);
    return x;
  }

  /** Forgets all but the newest `count`. */
  keep(count: number): void {
    while (this.#items.length > count) this.#items.shift()?.dispose();
  }

  clear(): void {
    this.keep(0);
  }
}

/** One remembered tensor. */
export class Slot {
  #history = new History(1);

  get value(): Tensor | null {
    return this.#history.length > 0 ? this.#history.at(0) : null;
  }

  set(x: Tensor | Linear): Tensor {
    return this.#history.push(x);
  }

  /** Remembers `x` itself, which nobody else may dispose. */
  adopt(x: Tensor): Tensor {
    return this.#history.adopt(x);
  }

  clear(): void {
    this.#history.clear();
  }
}
