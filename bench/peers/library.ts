import type { Problem } from "./problem.js";
import { OURS } from "./ratios.js";

/** One way in which a library computes an op, compiled at its first run. Inputs lie on the GPU. */
export interface Way {
  name: string;
  /** Runs once and reads back, in our layout. */
  result(): Promise<ArrayLike<number>>;
  /** Starts one run on the GPU and lets go of its result; the GPU may finish later. */
  run(): void | Promise<void>;
  dispose(): void | Promise<void>;
}

/** A library with a device of its own. */
export interface Library {
  name: string;
  version: string;
  device: GPUDevice;
  /** @throws Error for what it cannot do */
  ways(problem: Problem): Promise<Way[]>;
  /** Submits what `run` has left unsubmitted. */
  flush(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** Where a library is found; `open` fails where it does not run. */
export interface Source {
  name: string;
  open(): Promise<Library>;
}

/** Ours and those named. @throws Error for a name that none has */
export function chosen(sources: readonly Source[], only?: readonly string[]): Source[] {
  const names = sources.map(({ name }) => name);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only: there is no "${unknown}" among ${names.join(", ")}`);
  return sources.filter(({ name }) => name === OURS || !only || only.includes(name));
}
