/** What the solvers are before setTimesteps(): as diffusers 0.42.1 leaves them, whose add_noise() training programs call so. */
import { expect, test } from "vitest";
import { schedulerClass } from "../../src/schedulers/index.js";
import type { SigmasScheduler } from "../../src/schedulers/sigmas_scheduler.js";
import { Tensor } from "../../src/tensor/tensor.js";
import * as gpu from "../support/gpu.js";

/** Share of the noise at the timesteps 999, 0, 500. Most of these read a table that ascends by a list that descends. */
const REVERSED = [0.010000830516219139, 0.9999798536300659, 0.9599024653434753];
const RIGHT = [0.9999798536300659, 0.010000830516219139, 0.9603142142295837];

gpu.checkLeaks();

for (const [name, wanted] of [
  ["DPMSolverMultistepScheduler", REVERSED],
  ["DPMSolverSinglestepScheduler", REVERSED],
  ["DEISMultistepScheduler", REVERSED],
  ["UniPCMultistepScheduler", REVERSED],
  ["DPMSolverMultistepInverseScheduler", RIGHT],
  ["SASolverScheduler", RIGHT],
] as const)
  test(`${name}: sigmas, addNoise`, async () => {
    const scheduler = new (schedulerClass(name))() as SigmasScheduler;
    const { sigmas } = scheduler;
    expect([sigmas.length, sigmas[0].toFixed(6), sigmas[999].toFixed(3)]).toEqual([1000, "0.010001", "157.407"]);
    const device = await gpu.testDevice();
    const [zero, one] = [0, 1].map((value) => Tensor.from([value], [1, 1], { device }));
    for (const [i, t] of [999, 0, 500].entries()) {
      const noisy = scheduler.addNoise(zero, one, t);
      expect(Math.abs((await noisy.data())[0] - wanted[i]), `${t}`).toBeLessThan(1e-6);
      noisy.dispose();
    }
    for (const tensor of [zero, one]) tensor.dispose();
  });
