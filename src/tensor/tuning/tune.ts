/** Choosing kernels by measurement: the fastest way of everything that some work computes, kept for the adapter. */
import { checkFunction, plainOptions } from "../../arguments/options.js";
import { reporter } from "../../arguments/progress.js";
import { shown } from "../../arguments/shown.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { checkDevice, defaultDevice, type Device } from "../device.js";
import { likelyWays } from "./likely_ways.js";
import { flopsOf, keyOf, labelOf, wayText, type Problem } from "./problem.js";
import { race } from "./race.js";
import { storeTunings, writeWays } from "./store.js";

/** What tune() measures, for how long, and whether it is kept. */
export interface TuneOptions {
  /** The device of the work; defaults to the default device. */
  device?: Device;
  /** Time after which no further op is measured; those with most work come first. Default: no limit. */
  seconds?: number;
  /** Ends it between two measurements; what was found until then is kept. */
  signal?: AbortSignal;
  /** Called for each op as it is done. An async one is not waited for; what it rejects with ends it, as what it throws does. */
  progressCallback?: (row: TunedOp) => unknown;
  /** Whether later devices of this adapter have it too, in later processes and pages. Default true. */
  store?: boolean;
}

const OPTION_NAMES = ["device", "seconds", "signal", "progressCallback", "store"];

/** An op that was measured in its ways. */
export interface TunedOp {
  /** Its sizes, e.g. "conv2d 3x3 2x64x64x320 to 320 float16". */
  op: string;
  /** How often the work computes it; a pipeline's steps, of which one is recorded, count as one. */
  calls: number;
  /** Milliseconds as the rules have it, and as it is now. Infinity: that is wrong on this adapter, or could not be measured. */
  ruleMs: number;
  ms: number;
  /** How it is computed now; "by rule" where nothing was faster by 3 % or more. */
  way: string;
  /** Ways that were timed. */
  tried: number;
  /** Ways that gave wrong numbers or did not run on this adapter, and why; "by rule" where there was no memory to measure any. */
  refused: { way: string; why: string }[];
  /** Place of the op in all, from 1 on. */
  done: number;
  total: number;
}

/**
 * Runs `work` once, then measures the ways of every matmul, convolution and attention in it: each way's numbers are compared with the
 * reference kernel's (where that takes seconds, with those of the rules' kernel) before it is timed, and the fastest is taken from then
 * on by all devices of this adapter. Nothing is measured unless this is called. While it runs the device should do nothing else.
 *
 * Tiles sum up in different orders: pictures change within the tolerance of float32 sums, in float16 by Winograd's roundings to halves, too.
 * @param work a call of a pipeline or a model, at the sizes that are wanted; tensors that it makes are its own to dispose
 * @throws what `work` throws; the signal's reason; DeviceLostError
 * @example
 * await tune(() => pipeline("a red circle", { numInferenceSteps: 1 }));
 */
export async function tune(work: () => unknown, options?: TuneOptions | null): Promise<TunedOp[]> {
  const given = plainOptions(options, OPTION_NAMES, "tune");
  const { device = defaultDevice(), seconds = Infinity, progressCallback, store = true } = given;
  if (typeof work !== "function")
    throw new TypeError(`tune: takes a function such as () => pipeline("a red circle"), got ${shown(work)}`);
  if (!(seconds >= 0)) throw new RangeError(`tune: seconds must be a number of at least 0, got ${shown(seconds)}`);
  const { tunings } = checkDevice(device);
  if (tunings.measuring) throw new Error("tune: another call is under way on this device");
  throwIfAborted(given.signal);
  checkFunction("tune: progressCallback", progressCallback);
  const failed = new AbortController();
  const report = progressCallback && reporter(progressCallback, (reason) => failed.abort(reason));
  const signal = given.signal ? AbortSignal.any([given.signal, failed.signal]) : failed.signal;
  const rows: TunedOp[] = [];
  tunings.measuring = true;
  try {
    const problems = (await problemsOf(device, work)).filter(({ problem }) => likelyWays(device, problem).length > 0);
    const end = performance.now() + 1000 * seconds;
    for (const { problem, calls } of problems) {
      signal.throwIfAborted();
      if (performance.now() >= end) break;
      const result = await race(device, problem, signal);
      const { way } = result;
      const key = keyOf(problem);
      tunings.measured.add(key);
      if (way) tunings.kept.set(key, way);
      else tunings.kept.delete(key);
      const row = {
        ...result,
        op: labelOf(problem),
        calls,
        way: wayText(way ?? {}),
        refused: result.refused.map((each) => ({ ...each, way: wayText(each.way) })),
        done: rows.length + 1,
        total: problems.length,
      };
      rows.push(row);
      report?.(row);
    }
  } finally {
    tunings.measuring = false;
    if (store && rows.length > 0) await storeTunings(device);
  }
  await new Promise((resolve) => setTimeout(resolve)); // what the last report was answered with may come first
  failed.signal.throwIfAborted();
  return rows;
}

/** Lets rules choose all kernels of a device's adapter again, and removes what is stored for it. */
export async function forgetTunings(device: Device = defaultDevice()): Promise<void> {
  checkDevice(device).tunings.kept.clear();
  device.tunings.measured.clear();
  await writeWays(device, new Map());
}

interface Met {
  problem: Problem;
  calls: number;
}

/** What the work computes, the most work first. */
async function problemsOf(device: Device, work: () => unknown): Promise<Met[]> {
  const { tunings } = device;
  if (device.plainKernels) throw new Error("tune: the device has plainKernels on, which leaves no choice");
  const met = new Map<string, Met>();
  tunings.onProblem = (problem) => {
    const known = met.get(keyOf(problem));
    if (known) known.calls++;
    else met.set(keyOf(problem), { problem, calls: 1 });
  };
  try {
    await work();
  } finally {
    tunings.onProblem = null;
  }
  if (met.size === 0)
    throw new Error(
      "tune: the work ran no matmul, convolution or attention on this device; give its own as { device }",
    );
  // What it has left recorded is done before a way can fail, and take that with it.
  await device.synchronize();
  const cost = ({ problem, calls }: Met): number => calls * flopsOf(problem);
  return [...met.values()].sort((a, b) => cost(b) - cost(a));
}
