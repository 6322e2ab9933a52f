// Runs of the schedulers whose steps are called in ways of their own, or end before the last timestep: goldens of
// scripts/make_scheduler_runs.py.
import { describe, expect, test } from "vitest";
import { readFixtureJSON } from "../support/files.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { checkRun, type SchedulerRun } from "../support/scheduler_runs.js";

const runs = await readFixtureJSON<SchedulerRun[]>("schedulers/runs.json");

describe("runs", () => {
  checkLeaks();

  test("every class with a way of its own is there", () => {
    expect([...new Set(runs.map(({ scheduler }) => scheduler))].sort()).toEqual([
      "CogVideoXDDIMScheduler",
      "CogVideoXDPMScheduler",
      "CosineDPMSolverMultistepScheduler",
      "DDPMWuerstchenScheduler",
      "KarrasVeScheduler",
      "LTXEulerAncestralRFScheduler",
      "RePaintScheduler",
      "SCMScheduler",
      "ScoreSdeVpScheduler",
    ]);
  });

  for (const [i, run] of runs.entries())
    test(`${i}: ${run.scheduler} ${JSON.stringify(run.config).slice(0, 90)} ${JSON.stringify(run.set)}`, async () => {
      await checkRun(run, await testDevice());
    });
});
