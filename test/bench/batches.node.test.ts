import { describe, expect, test } from "vitest";
import { batchCount, Batches, wallTime, type MeasureBatch } from "../../bench/batches.js";

const OPTIONS = { batch: 10, maxRuns: 512 };

/** Work of so many milliseconds a run by a clock that never errs, but for the batches that last longer: number -> factor. */
function work(ms: number, hiccups: Record<number, number> = {}): MeasureBatch {
  let batch = 0;
  return async (runs) => runs * ms * (hiccups[batch++] ?? 1);
}

async function samplesOf(measure: MeasureBatch, count = 5): Promise<Batches> {
  const batches = await Batches.calibrate(measure, OPTIONS);
  for (let i = 0; i < count; i++) await batches.add();
  return batches;
}

describe("batches", () => {
  test("have enough runs to last", async () => {
    for (const ms of [0.002, 0.3, 4, 25]) {
      const { runs, samples } = await samplesOf(work(ms));
      expect(runs, `${ms} ms`).toBe(Math.min(512, runs));
      expect(runs === 512 || runs * ms >= 10, `${ms} ms, ${runs} runs`).toBe(true);
      for (const sample of samples) expect(sample).toBeCloseTo(ms, 9);
    }
  });

  test("of work that was held up while they were calibrated are as long and as right as others", async () => {
    const cases: Record<number, number>[] = [{ 0: 100 }, { 1: 30 }, { 0: 5, 2: 50 }];
    for (const hiccups of cases) {
      const { runs, samples } = await samplesOf(work(1, hiccups));
      expect(runs, JSON.stringify(hiccups)).toBeGreaterThanOrEqual(10);
      for (const sample of samples) expect(sample, JSON.stringify(hiccups)).toBeCloseTo(1, 9);
    }
  });

  test("fill a budget, three to twenty times", () => {
    expect([5000, 100, 10].map((took) => batchCount(1000, took))).toEqual([3, 10, 20]);
  });
});

test("the wall clock waits for the queue to be idle before and after", async () => {
  let end = performance.now() + 40;
  const queue = {
    flush: () => undefined,
    synchronize: () => new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, end - performance.now()))),
  };
  const time = await wallTime(queue, () => void (end = performance.now() + 20));
  expect(time).toBeGreaterThan(18);
  expect(time).toBeLessThan(38);
});
