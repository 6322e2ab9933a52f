/** What a run of the suite finds, as it is written to JSON lines: one object a line, each with the run it belongs to. */
import type { FloatType } from "../test/cases/data.js";
import type { Clock } from "./harness.js";
import { firstWrong } from "./line_checks.js";
import type { Roofline } from "./roofline.js";

/** Where and when. */
export interface RunInfo {
  /** ISO 8601; together with the adapter it tells runs apart. */
  date: string;
  version: string;
  /** Where it ran in Node, or was started from it. */
  node?: string;
  platform: string;
  cpu: string;
  /** Of the last minute when the run began: other work makes all times longer. Browsers do not know it. */
  loadAverage?: number;
  adapter: string;
  vendor: string;
  architecture: string;
  driver: string;
  software: boolean;
  features: string[];
  /** Ops that go another way than the rules' because it was measured to be faster (`webgpu-diffusers tune`). */
  tuned?: number;
  /** `waits`: the wall clock with the wait for the GPU in it, as all libraries are timed in bench/peers. */
  clock: Clock | "waits";
  quick: boolean;
  /** Whether the ways of each op were measured first (`--tune`); absent of older files and of bench/peers, which has no such option. */
  tune?: boolean;
  /** Where it ran in a browser. */
  browser?: string;
  /** Versions of the libraries beside ours, in bench/peers. */
  peers?: Record<string, string>;
}

/** `ok`: right and timed. `wrong`: the check failed, not timed. `failed`: an error. `fused`: no op of its own. */
export type Status = "ok" | "wrong" | "failed" | "fused";

/** What was measured of an op, times in milliseconds; absent of what was not. */
interface Measured {
  ms?: number;
  p10?: number;
  p90?: number;
  batches?: number;
  runs?: number;
  /** First run with compilation, by the wall clock. */
  firstMs?: number;
  /** Largest difference from the float64 reference, relative to its largest number. */
  error?: number;
  message?: string;
}

export interface OpResult extends Measured {
  kind: "op";
  op: string;
  label: string;
  dtype: FloatType;
  status: Status;
  /** The size that was traced, where a smaller one ran. */
  cutFrom?: string;
  /** Calls per stage of Stable Diffusion 1.5. */
  counts: Record<string, number>;
  /** Of the op as it is defined; `gflops` are of these, so that they compare between kernels. */
  flops: number;
  /** Of the kernels that ran, where they are others; `percent` is of these. */
  doneFlops?: number;
  bytes: number;
  gflops?: number;
  gbs?: number;
  /** Of the time that the measured roofline allows. */
  percent?: number;
  dispatches?: number;
  pipelines?: string[];
}

export interface RooflineResult extends Roofline {
  kind: "roofline";
}

export interface WholeResult {
  kind: "whole";
  name: string;
  dtype: FloatType;
  value: number;
  unit: "ms" | "MiB" | "dispatches" | "pictures/s";
  p10?: number;
  p90?: number;
}

/** One way in which a library computes an op. Only `ok` ones are timed. */
export interface PeerWay extends Measured {
  library: string;
  /** What it is there, e.g. "fused.conv2d". */
  way: string;
  status: Exclude<Status, "fused">;
}

/** An op by all libraries, ours first; bench/peers writes these. */
export interface PeerResult extends Pick<OpResult, "op" | "label" | "dtype" | "cutFrom" | "counts" | "flops"> {
  kind: "peers";
  ways: PeerWay[];
}

export type Result = OpResult | RooflineResult | WholeResult;

/** A line of a results file. */
export type Line = (Result | PeerResult) & { run: RunInfo };

/** @throws Error naming the line that is no result, and the field that is wrong in it */
export function parseLines(text: string, name: string): Line[] {
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const value = parseJSON(line);
    const wrong = firstWrong(value);
    if (wrong === undefined) return [value as Line];
    throw new Error(`${name}: line ${i + 1} is no result of the benchmark: wrong ${wrong}, got ${line.slice(0, 60)}`);
  });
}

/** Undefined for what is no JSON. Nulls are left out: earlier versions wrote them for an error that is no number. */
function parseJSON(line: string): unknown {
  try {
    return JSON.parse(line, (_key, value: unknown) => value ?? undefined);
  } catch {
    return undefined;
  }
}
