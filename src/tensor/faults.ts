/**
 * What has gone wrong on a device, and which results went with it. WebGPU tells of errors later, and not whose they are: whoever waits
 * meanwhile rejects, and what was recorded but not known to be done is lost, so that nobody takes it for a result.
 */
import { OutOfMemoryError } from "./errors.js";
import type { Block } from "./memory.js";

/** A moment: how many writes were recorded, and how much had gone wrong. */
export interface Moment {
  readonly writes: number;
  readonly faults: number;
}

/** The writes after number `from` and up to `to` did not happen, as far as is known. */
interface Fault {
  error: Error;
  from: number;
  to: number;
}

export class Faults {
  #reported: { error: Error; from: number | undefined } | null = null;
  #all: Fault[] = [];
  #writes = 0;
  /** Writes up to here were submitted, with memory for all they need … */
  #submitted = 0;
  /** … and done. */
  #done = 0;

  get now(): Moment {
    return { writes: this.#writes, faults: this.#all.length };
  }

  /** Numbers a write to the block, as it is recorded. */
  wrote(block: Block): void {
    block.version = ++this.#writes;
  }

  /**
   * The first error counts: those that follow from it say less. Only that memory is missing may be told after what follows from it:
   * Dawn in Node refuses a buffer that it could not make at once, and an error scope's answer comes later.
   * @param from writes up to here are safe, where that is known
   */
  report(error: Error, from?: number): void {
    const known = this.#reported;
    if (!known) this.#reported = { error, from };
    else if (error instanceof OutOfMemoryError && !(known.error instanceof OutOfMemoryError))
      // What the other error has taken with it is lost all the same.
      this.#reported = { error, from: Math.min(known.from ?? this.#done, from ?? this.#submitted) };
  }

  /** @returns whether something went wrong that nobody has heard of: what was recorded since is lost */
  settle(): boolean {
    if (!this.#reported) return false;
    const { error, from } = this.#reported;
    this.#reported = null;
    // One command that fails takes those with it that are submitted together. Memory is missed before work is said to be
    // submitted; other errors are known when it is done.
    const safe = from ?? (error instanceof OutOfMemoryError ? this.#submitted : this.#done);
    this.#all.push({ error, from: safe, to: this.#writes });
    return true;
  }

  /** @throws the last error since then */
  expectNoneSince({ faults }: Moment): void {
    if (this.#all.length > faults) throw this.#all[this.#all.length - 1].error;
  }

  /** Everything recorded until then is known to have been submitted, or to be done. */
  reached({ writes }: Moment, state: "submitted" | "done"): void {
    this.#submitted = Math.max(this.#submitted, writes);
    if (state === "done") this.#done = Math.max(this.#done, writes);
  }

  /** Why the content of a block is lost; undefined where it is not. */
  lossOf({ version }: Block): Error | undefined {
    return this.#all.find(({ from, to }) => version > from && version <= to)?.error;
  }

  /** @throws the error with which the content of a block was lost */
  expectKept(block: Block): void {
    if (this.#all.length === 0) return;
    const error = this.lossOf(block);
    if (error) throw error;
  }
}
