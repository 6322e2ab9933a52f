/** Where the time of a piece of work goes, by kernel. */
import type { FloatType } from "../test/cases/data.js";
import type { Timer } from "./harness.js";
import type { PipelineTime } from "./probe.js";
import type { WholeResult } from "./results.js";

type PipelineTimes = Map<string, PipelineTime>;
const sum = (times: PipelineTimes): number => [...times.values()].reduce((all, { ms }) => all + ms, 0);

/** Runs of which the shortest counts, and milliseconds after which one is enough. */
const RUNS = 5;
const LONG = 1000;

/**
 * The sum of the times of all dispatches, then that of each kernel family, most time first. Nothing where the GPU has no clock that
 * can be trusted.
 * @param record records the work, whose pipelines are compiled
 */
export async function kernelTimes(
  timer: Timer,
  { name, dtype }: { name: string; dtype: FloatType },
  record: () => void,
): Promise<WholeResult[]> {
  const pipelines = timer.clock === "timestamps" ? await shortest(timer, record) : null;
  if (!pipelines) return [];
  const families: PipelineTimes = new Map();
  for (const [label, { dispatches, ms }] of pipelines) {
    const family = label.split(" {")[0];
    const before = families.get(family) ?? { dispatches: 0, ms: 0 };
    families.set(family, { dispatches: before.dispatches + dispatches, ms: before.ms + ms });
  }
  const rows = [...families].sort(([, a], [, b]) => b.ms - a.ms);
  const result = (what: string, value: number): WholeResult => ({
    ...{ kind: "whole", name: `${name}, ${what}`, dtype, value, unit: "ms" },
  });
  return [
    result("sum of its dispatches", sum(pipelines)),
    ...rows.map(([family, { dispatches, ms }]) => result(`${dispatches} x ${family}`, ms)),
  ];
}

async function shortest(timer: Timer, record: () => void): Promise<PipelineTimes | null> {
  const { probe } = timer;
  if (!probe.device.isSoftware) await timer.time(record); // a GPU that idled runs at a fraction of its clock
  let best: PipelineTimes | null = null;
  for (let run = 0; run < RUNS; run++) {
    const times = await probe.pipelineTimes(record);
    if (times && (!best || sum(times) < sum(best))) best = times;
    if (!best || sum(best) > LONG) break;
  }
  return best;
}
