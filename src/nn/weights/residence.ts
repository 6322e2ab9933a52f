/** Where a model's weights are: in the GPU's memory, or in the CPU's while other models need the GPU's. */
import { Turns } from "../../loader/turns.js";
import type { Module, Parameter } from "../module.js";

/** Bytes of weights that are moved at the same time, so that small ones do not wait for each other: each read takes milliseconds. */
const GROUP = 32 << 20;

export class Residence {
  readonly #moves = new Turns(1);

  constructor(private readonly model: Module) {}

  get isOnCpu(): boolean {
    for (const [, parameter] of this.model.parameters()) if (parameter.isOnCpu) return true;
    return false;
  }

  /**
   * Moves the weights to the CPU; what has no weights, or is there, stays as it is.
   * @returns false where they stay, as some work needs them
   * @throws DeviceLostError, OutOfMemoryError, RangeError (no memory on the CPU); weights that were moved until then are usable
   */
  async toCpu(): Promise<boolean> {
    return this.#moves.run(async () => {
      const holders = this.#holders();
      if (holders.some(({ users }) => users > 0)) return false;
      const here = holders.filter(({ loaded }) => loaded);
      const device = here[0]?.device;
      // Nearly always there is none: between the parts of a call those that rest do so already.
      if (!device) return true;
      for (const group of groups(here)) await Promise.all(group.map((holder) => holder.toCpu()));
      device.trim();
      await device.flush();
      return true;
    });
  }

  /**
   * Moves those weights to the GPU that are on the CPU.
   * @throws DeviceLostError, OutOfMemoryError; they stay on the CPU then
   */
  async toGpu(): Promise<void> {
    await this.#moves.run(() => this.#toGpu());
  }

  /** Gives up the copies on the CPU of what is on the GPU. */
  forgetCopies(): void {
    for (const holder of this.#holders()) holder.forgetCopy();
  }

  /** Runs `work` with the weights on the GPU, where they stay meanwhile, and behind it. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    // Counted by weight: two models may have the same ones, a ControlNet and one of several.
    const holders = this.#holders();
    for (const holder of holders) holder.users++;
    try {
      await this.toGpu();
      return await work();
    } finally {
      for (const holder of holders) holder.users--;
    }
  }

  /** Runs `work` with the weights on the GPU, and moves them back if they were on the CPU. */
  async visit<T>(work: () => Promise<T>): Promise<T> {
    const { isOnCpu } = this;
    const result = await this.during(work);
    if (isOnCpu) await this.toCpu();
    return result;
  }

  async #toGpu(): Promise<void> {
    const moved = this.#holders().filter(({ isOnCpu }) => isOnCpu);
    const device = moved[0]?.device;
    if (!device) return;
    const { now } = device.queue.faults;
    try {
      for (const holder of moved) await holder.toGpu();
      await device.synchronize();
      device.queue.check(now); // what went wrong with other work meanwhile may have taken a piece of a weight
    } catch (error) {
      for (const holder of moved) await holder.toCpu(); // of which there are copies
      await device.settle();
      throw error;
    }
  }

  #holders(): Parameter[] {
    return [...new Set([...this.model.parameters()].map(([, { holder }]) => holder))];
  }
}

function* groups(holders: readonly Parameter[]): Generator<Parameter[]> {
  let group: Parameter[] = [];
  let bytes = 0;
  for (const holder of holders) {
    const own = holder.value.bytes;
    if (group.length > 0 && bytes + own > GROUP) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(holder);
    bytes += own;
  }
  yield group;
}
