import { describe, expect, test } from "vitest";
import { batchCount, Batches, wallBatch, type MeasureBatch } from "../../bench/batches.js";

const OPTIONS = { batch: 10, maxRuns: 512, sleeps: true };

/** Work of so many milliseconds a run by a clock that never errs, but for the batches that last longer: number -> factor. */
function work(ms: number, hiccups: Record<number, number> = {}): { measure: MeasureBatch; sleeps: number[] } {
  const sleeps: number[] = [];
  const measure: MeasureBatch = async (runs, sleep) => {
    const took = runs * ms * (hiccups[sleeps.push(sleep) - 1] ?? 1);
    return { time: Math.max(took, sleep), overslept: sleep > took };
  };
  return { measure, sleeps };
}

async function samplesOf(measure: MeasureBatch, count = 5, options = OPTIONS): Promise<Batches> {
  const batches = await Batches.calibrate(measure, options);
  for (let i = 0; i < count; i++) await batches.add();
  return batches;
}

describe("batches", () => {
  test("have enough runs to last", async () => {
    for (const ms of [0.002, 0.3, 4, 25]) {
      const { runs, samples } = await samplesOf(work(ms).measure);
      expect(runs, `${ms} ms`).toBe(Math.min(512, runs));
      expect(runs === 512 || runs * ms >= 10, `${ms} ms, ${runs} runs`).toBe(true);
      for (const sample of samples) expect(sample).toBeCloseTo(ms, 9);
    }
  });

  test("of work that was held up while they were calibrated are as long and as right as others", async () => {
    const cases: Record<number, number>[] = [{ 0: 100 }, { 1: 30 }, { 0: 5, 2: 50 }];
    for (const hiccups of cases) {
      const { runs, samples } = await samplesOf(work(1, hiccups).measure);
      expect(runs, JSON.stringify(hiccups)).toBeGreaterThanOrEqual(10);
      for (const sample of samples) expect(sample, JSON.stringify(hiccups)).toBeCloseTo(1, 9);
    }
  });

  test("that ended while we slept are measured again", async () => {
    // Both batches of the calibration are held up.
    const { samples } = await samplesOf(work(20, { 0: 10, 1: 10 }).measure);
    expect(samples).toEqual([20, 20, 20, 20, 20]);
  });

  test("sleep through most of their time, on CPU adapters only", async () => {
    const patient = work(20);
    await samplesOf(patient.measure);
    expect(patient.sleeps).toEqual([0, 0, 10, 16, 16, 16, 16]);
    const restless = work(20);
    await samplesOf(restless.measure, 5, { ...OPTIONS, sleeps: false });
    expect(new Set(restless.sleeps)).toEqual(new Set([0]));
  });

  test("fill a budget, three to twenty times", () => {
    expect([5000, 100, 10].map((took) => batchCount(1000, took))).toEqual([3, 10, 20]);
  });
});

test("a batch by the wall clock knows whether its work ended during the sleep", async () => {
  let end = 0;
  const until = (): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, Math.max(0, end - performance.now())));
  const queue = {
    flush: () => undefined,
    synchronize: () => (performance.now() < end ? until() : Promise.resolve()),
  };
  const record = (): void => void (end = performance.now() + 40);
  expect((await wallBatch(queue, record, 20)).overslept).toBe(false);
  expect((await wallBatch(queue, record, 80)).overslept).toBe(true);
  const { time, overslept } = await wallBatch(queue, record);
  expect(overslept).toBe(false);
  expect(time).toBeGreaterThan(38);
});
