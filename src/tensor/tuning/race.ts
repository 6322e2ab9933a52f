/** Which of some ways of computing a problem is the fastest on a device, among those that compute it right. */
import type { Device } from "../device.js";
import { Plan } from "../plan.js";
import type { Tensor } from "../tensor.js";
import { likelyWays } from "./likely_ways.js";
import { flopsOf, type Problem, type Way } from "./problem.js";
import { Trial } from "./trial.js";

/** What became of a problem. */
export interface RaceResult {
  /** Milliseconds by the rules' way (infinity where that is wrong on this adapter), and by the fastest (where none is right). */
  ruleMs: number;
  ms: number;
  /** The fastest; null where it is the rules' own, or not faster by more than the noise. */
  way: Way | null;
  /** Ways that were timed, and those that were wrong or failed, with the reason. */
  tried: number;
  refused: { way: Way; why: string }[];
}

/** Milliseconds that one measurement takes at least, and how many there are of each way. */
const BATCH = 20;
const ROUNDS = 5;
/** Milliseconds of a run from which a single one is a measurement, and fewer of them do. */
const LONG = 50;
const LONG_ROUNDS = 3;
/** A way so much slower than the best in the first round is out. */
const HOPELESS = 1.3;
/** What a way has to gain to be kept. */
const GAIN = 0.97;
/** Milliseconds of work before a GPU's time is taken: one that idled, while kernels were compiled, runs at a fraction of its clock. */
const WARM_UP = 300;
/** Work up to which the reference kernel gives the numbers to compare with: it takes about a second. */
const PLAIN_FLOPS = { software: 5e8, hardware: 2e10 };
/** Of the largest number: two sums in different order, and two roundings to halves with those of Winograd's basis. */
const TOLERANCE = { float32: 2 ** -16, float16: 2 ** -8 };

/** A way in the race, and milliseconds of one run of it. */
interface Runner {
  way: Way;
  samples: number[];
}

const isOfRules = ({ way }: { way: Way }): boolean => Object.keys(way).length === 0;

/**
 * What fails here ends this race alone: there may be no memory left for another copy of a problem's operands.
 * @throws the signal's reason, DeviceLostError
 */
export async function race(device: Device, problem: Problem, signal?: AbortSignal): Promise<RaceResult> {
  const refused: RaceResult["refused"] = [];
  let trial: Trial | undefined;
  try {
    trial = new Trial(device, problem);
    const right = await examine(device, problem, trial, refused, signal);
    if (right.length === 0) throw new Error("no way is right");
    const result = await run(device, trial, right, refused, signal);
    return { ...result, tried: right.filter((way) => refused.every((each) => each.way !== way)).length, refused };
  } catch (error) {
    signal?.throwIfAborted();
    const why = reasonOf(device, error);
    if (!refused.some(isOfRules)) refused.unshift({ way: {}, why });
    return { ruleMs: Infinity, ms: Infinity, way: null, tried: 0, refused };
  } finally {
    trial?.dispose();
    device.trim();
  }
}

/** Why something failed. @throws the error itself if the device is lost: nothing else will work */
function reasonOf(device: Device, error: unknown): string {
  if (device.isLost) throw error;
  return error instanceof Error ? error.message : String(error);
}

/** The ways whose numbers are right; that of the rules, `{}`, is the first of all. The others go to `refused`. */
async function examine(
  device: Device,
  problem: Problem,
  trial: Trial,
  refused: RaceResult["refused"],
  signal: AbortSignal | undefined,
): Promise<Way[]> {
  const tolerance = TOLERANCE[problem.dtype as keyof typeof TOLERANCE];
  const most = PLAIN_FLOPS[device.isSoftware ? "software" : "hardware"];
  const wanted = await numbersOf(flopsOf(problem) > most ? trial.run({}) : trial.runPlain());
  // Each way gets memory of its own: in that of these numbers, one that writes nothing would be right.
  device.trim();
  const right: Way[] = [];
  for (const way of [{}, ...likelyWays(device, problem)]) {
    signal?.throwIfAborted();
    try {
      const why = difference(await numbersOf(trial.run(way)), wanted, tolerance);
      if (why === null) right.push(way);
      else refused.push({ way, why });
    } catch (error) {
      refused.push({ way, why: reasonOf(device, error) });
    }
    device.trim();
  }
  return right;
}

async function numbersOf(y: Tensor): Promise<Float32Array> {
  try {
    return (await y.data()) as Float32Array;
  } finally {
    y.dispose();
  }
}

/** What is wrong with a result; null where nothing is. */
export function difference(got: Float32Array, wanted: Float32Array, tolerance: number): string | null {
  let [scale, worst] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const off = Math.abs(got[i] - wanted[i]);
    scale = Math.max(scale, Math.abs(wanted[i]));
    // Not less or equal: NaN, too.
    if (!(off <= worst)) worst = Number.isNaN(off) ? Infinity : off;
  }
  if (worst <= tolerance * scale) return null;
  return `its result is off by ${worst.toExponential(1)}, of numbers up to ${scale.toExponential(1)}`;
}

/** Times ways in turns, so that what slows the machine down slows down all of them. Those that fail in it go to `refused`. */
async function run(
  device: Device,
  trial: Trial,
  ways: readonly Way[],
  refused: RaceResult["refused"],
  signal: AbortSignal | undefined,
): Promise<Pick<RaceResult, "ruleMs" | "ms" | "way">> {
  const runs = await enoughRuns(device, trial, ways[0]);
  if (!device.isSoftware)
    for (const end = performance.now() + WARM_UP; performance.now() < end;) await measure(device, trial, ways[0], runs);
  let left = ways.map((way): Runner => ({ way, samples: [] }));
  for (let round = 0; round < (runs.replay ? ROUNDS : LONG_ROUNDS); round++) {
    const timed: Runner[] = [];
    for (const each of left) {
      signal?.throwIfAborted();
      try {
        each.samples.push(await measure(device, trial, each.way, runs));
        timed.push(each);
      } catch (error) {
        refused.push({ way: each.way, why: reasonOf(device, error) });
      }
    }
    const first = Math.min(...timed.map(({ samples }) => samples[0]));
    left = timed.filter((each) => isOfRules(each) || each.samples[0] < HOPELESS * first);
    if (left.length === 1) break;
  }
  if (left.length === 0) throw new Error("no way can be timed");
  const ofRules = left.find(isOfRules);
  const best = left.reduce((a, b) => (timeOf(b) < timeOf(a) ? b : a));
  const ruleMs = ofRules ? timeOf(ofRules) : Infinity;
  const wins = best !== ofRules && timeOf(best) < GAIN * ruleMs;
  return { ruleMs, ms: wins ? timeOf(best) : ruleMs, way: wins ? best.way : null };
}

/** The median. */
const timeOf = ({ samples }: Runner): number => [...samples].sort((a, b) => a - b)[samples.length >> 1];

/** Recorded runs of one measurement: of the plan, and of the work in it, so that a GPU need not wait for a submit after each. */
interface Runs {
  plans: number;
  each: number;
  /** Whether the first run of a plan, which is none yet, is left out. */
  replay: boolean;
}
const ONCE: Runs = { plans: 1, each: 1, replay: false };
const MOST = { plans: 64, each: 64 };

/** How many runs of a way fill a measurement. */
async function enoughRuns(device: Device, trial: Trial, way: Way): Promise<Runs> {
  const runsOf = (count: number): Runs => {
    const each = Math.min(MOST.each, Math.ceil(count / 8));
    return { each, plans: Math.min(MOST.plans, Math.ceil(count / each)), replay: true };
  };
  if ((await measure(device, trial, way, ONCE)) > LONG) return ONCE;
  for (let count = 1; ; count *= 4) {
    const runs = runsOf(count);
    const ms = runs.each * runs.plans * (await measure(device, trial, way, runs));
    const enough = (count * BATCH) / Math.max(ms, 0.1);
    if (ms >= BATCH / 4 || enough >= MOST.plans * MOST.each) return runsOf(Math.ceil(enough));
  }
}

/** Milliseconds of one run, recorded and replayed as a step of a model is. */
export async function measure(device: Device, trial: Trial, way: Way, { plans, each, replay }: Runs): Promise<number> {
  const { inputs } = trial;
  const work = (...copies: Tensor[]): Tensor => {
    for (let i = 1; i < each; i++) {
      trial.run(way, copies).dispose();
      // As new ones, as in a model: those that a kernel reads through textures are copied there for each run.
      for (const { block } of copies) device.queue.faults.wrote(block);
    }
    return trial.run(way, copies);
  };
  const plan = new Plan(device, inputs, work, { label: "tune" });
  try {
    for (let i = 0; replay && i < 2; i++) plan.run(inputs);
    await device.synchronize();
    const start = performance.now();
    for (let i = 0; i < plans; i++) plan.run(inputs);
    await device.synchronize();
    return (performance.now() - start) / plans / each;
  } finally {
    plan.dispose();
  }
}
