import type { Device } from "../../tensor/device.js";

/** Part of a step that is slept through before the device is asked whether it is done. */
const SLEEP = 0.85;

/**
 * Keeps the CPU at most one step ahead of the device, so that cancelling and progress follow it and memory stays bounded.
 *
 * On a CPU adapter it also saves a core: while a promise of its is pending, Dawn in Node polls in a busy loop, next to the
 * threads that compute. There each step is mostly slept through, by the time that the fastest took, and then waited for.
 */
export class Pace {
  #previous: Promise<void> = Promise.resolve();
  /** Of the fastest step so far; the first one, which compiles, does not count. */
  #stepMilliseconds = Infinity;
  #steps = 0;

  constructor(private readonly device: Device) {}

  /** Submits what a step has recorded, and waits for the step before it (CPU adapters: for the step itself). */
  async step(): Promise<void> {
    const { device } = this;
    if (!device.isSoftware) {
      await device.flush();
      await this.#previous;
      this.#previous = device.synchronize();
      this.#previous.catch(() => undefined); // thrown by the await above, or by the next flush
      return;
    }
    const start = performance.now();
    await device.flush();
    await new Promise((resolve) => setTimeout(resolve, this.#steps > 1 ? SLEEP * this.#stepMilliseconds : 0));
    await device.synchronize();
    if (this.#steps++ > 0) this.#stepMilliseconds = Math.min(this.#stepMilliseconds, performance.now() - start);
  }
}
