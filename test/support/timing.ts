import { expect } from "vitest";

/**
 * Expects `work` to take less than `limit` milliseconds in one of three runs. The suite's other processes hold up a
 * run now and then (one of 10 ms took 101 in CI); what is too slow is too slow each time.
 * @returns what the last run gave
 */
export async function expectWithin<T>(limit: number, work: () => T | Promise<T>): Promise<T> {
  for (let run = 1; ; run++) {
    const start = performance.now();
    const result = await work();
    const took = performance.now() - start;
    if (took >= limit && run < 3) continue;
    expect(took).toBeLessThan(limit);
    return result;
  }
}
