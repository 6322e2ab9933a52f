import { expect, test } from "vitest";
import { AlphasScheduler } from "../../src/schedulers/alphas_scheduler.js";
import { DiscreteScheduler } from "../../src/schedulers/discrete_scheduler.js";
import { schedulerClass } from "../../src/schedulers/index.js";
import { readFixtureJSON } from "../support/files.js";
import { floats, readGolden } from "../support/goldens.js";

interface Schedules {
  schedules: { id: string; scheduler: string; config: object; betas: string; alphasCumprod: string }[];
}

/** torch's sqrt and sigmoid are off by a last digit now and then; the schedules that use them differ by that much. */
const INEXACT = /zero-snr|sigmoid/;

test("betas and their products are torch's, float for float", async () => {
  const { schedules } = await readFixtureJSON<Schedules>("schedulers/schedules.json");
  const goldens = await readGolden("schedulers/schedules.safetensors");
  for (const { id, scheduler, config, betas, alphasCumprod } of schedules) {
    const made = schedulerClass(scheduler).fromConfig(config);
    if (!(made instanceof AlphasScheduler || made instanceof DiscreteScheduler))
      throw new Error(`${id}: no table of ᾱ`);
    for (const [got, wanted] of [
      [made.betas, floats(goldens, betas)],
      [made.alphasCumprod, floats(goldens, alphasCumprod)],
    ] as const) {
      const worst = Array.from<number>(got).reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
      expect(got.length).toBe(wanted.length);
      expect(worst).toBeLessThanOrEqual(INEXACT.test(id) ? 2 ** -22 : 0);
    }
  }
});
