/** Where the time of a piece of work goes, by kernel. */
import type { FloatType } from "../test/cases/data.js";
import type { Timer } from "./harness.js";
import type { DispatchTime } from "./probe.js";
import type { WholeResult } from "./results.js";

const familyOf = ({ label }: DispatchTime): string => label.split(" {")[0];
const sum = (times: readonly DispatchTime[]): number => times.reduce((all, { ms }) => all + ms, 0);

/** Runs of which the one with the median sum counts, as of other times, and milliseconds after which one is enough. */
const RUNS = 5;
const LONG = 1000;

/**
 * The sum of the times of all dispatches, the longest of them, then that of each kernel family, most time first. Nothing where the GPU
 * has no clock that can be trusted.
 * @param record records the work, whose pipelines are compiled
 */
export async function kernelTimes(
  timer: Timer,
  { name, dtype }: { name: string; dtype: FloatType },
  record: () => void,
): Promise<WholeResult[]> {
  const times = timer.clock === "timestamps" ? await medianRun(timer, record) : null;
  if (!times) return [];
  const families = new Map<string, { dispatches: number; ms: number }>();
  for (const time of times) {
    const family = familyOf(time);
    const before = families.get(family) ?? { dispatches: 0, ms: 0 };
    families.set(family, { dispatches: before.dispatches + 1, ms: before.ms + time.ms });
  }
  const longest = times.reduce((most, each) => (each.ms > most.ms ? each : most));
  const rows = [...families].sort(([, a], [, b]) => b.ms - a.ms);
  const result = (what: string, value: number): WholeResult => ({
    kind: "whole",
    name: `${name}, ${what}`,
    dtype,
    value,
    unit: "ms",
  });
  return [
    result("sum of its dispatches", sum(times)),
    result(`the longest, ${familyOf(longest)}`, longest.ms),
    ...rows.map(([family, { dispatches, ms }]) => result(`${dispatches} x ${family}`, ms)),
  ];
}

async function medianRun(timer: Timer, record: () => void): Promise<DispatchTime[] | null> {
  const { probe } = timer;
  if (!probe.device.isSoftware) await timer.time(record); // a GPU that idled runs at a fraction of its clock
  const runs: DispatchTime[][] = [];
  while (runs.length < RUNS) {
    const times = await probe.dispatchTimes(record);
    if (!times) return null;
    runs.push(times);
    if (sum(times) > LONG) break;
  }
  return runs.sort((a, b) => sum(a) - sum(b))[runs.length >> 1];
}
