/** Which ways were measured to be faster than those that the rules choose, for one adapter. */
import type { Device } from "../device.js";
import { likelyWays } from "./likely_ways.js";
import { keyOf, type Problem, type Way } from "./problem.js";

/** Ways by the key of their problem; the devices of one adapter share them. */
export type KeptWays = Map<string, Way>;

export class Tunings {
  /** Told of every problem that an op meets. */
  onProblem: ((problem: Problem) => void) | null = null;
  /** Whether ways are being measured, which two calls at once would do wrong. */
  measuring = false;
  /** While it is set, the rules decide. */
  ignored = false;
  /** Keys of what was measured here, also where no way is kept for it. */
  readonly measured = new Set<string>();
  /** Of kept ways, those that this device can go. */
  #known = new Map<string, { kept: Way; way: Way | undefined }>();

  constructor(readonly kept: KeptWays = new Map()) {}

  /** The way to compute something on a device whose tunings these are; undefined: as the rules say. */
  wayOf(device: Device, describe: () => Problem): Way | undefined {
    if (this.ignored || device.plainKernels || (this.kept.size === 0 && !this.onProblem)) return undefined;
    const problem = describe();
    this.onProblem?.(problem);
    const key = keyOf(problem);
    const kept = this.kept.get(key);
    if (!kept) return undefined;
    let known = this.#known.get(key);
    if (known?.kept !== kept) {
      // What was kept by another version, or with other limits, may be no way any more.
      const text = JSON.stringify(kept);
      const way = likelyWays(device, problem).find((each) => JSON.stringify(each) === text);
      this.#known.set(key, (known = { kept, way }));
    }
    return known.way;
  }
}
