import { expect, test } from "vitest";
import { betaQuantile, incompleteBeta } from "../../src/schedulers/beta_distribution.js";
import { AysSchedules, EulerDiscreteScheduler, HeunDiscreteScheduler } from "../../src/schedulers/index.js";
import { logFloat32 } from "../../src/schedulers/sigmas.js";

test("quantiles of the beta distribution", () => {
  // With a = b = 1/2 it is the arcsine distribution.
  expect(incompleteBeta(0.25, 0.5, 0.5)).toBeCloseTo(1 / 3, 14);
  for (const [a, b] of [
    [0.6, 0.6],
    [2, 5],
    [0.5, 3],
  ])
    for (const p of [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999, 1 - 1e-6]) {
      expect(Math.abs(incompleteBeta(betaQuantile(p, a, b), a, b) - p)).toBeLessThan(1e-12);
      expect(Math.abs(betaQuantile(p, a, b) + betaQuantile(1 - p, b, a) - 1)).toBeLessThan(1e-12);
    }
  expect([betaQuantile(0, 2, 3), betaQuantile(1, 2, 3)]).toEqual([0, 1]);
  // The distribution with a = b = 1 is uniform, and that with b = 1 is x^a.
  expect(betaQuantile(0.37, 1, 1)).toBeCloseTo(0.37, 14);
  expect(betaQuantile(0.37, 3, 1)).toBeCloseTo(Math.cbrt(0.37), 14);
});

test("beta sigmas for all training timesteps are made quickly", () => {
  const start = performance.now();
  const scheduler = new HeunDiscreteScheduler({ use_beta_sigmas: true });
  expect(scheduler.sigmas.every((sigma, i) => i === 0 || sigma <= scheduler.sigmas[i - 1])).toBe(true);
  expect(performance.now() - start).toBeLessThan(2000);
});

test("the schedules of Align Your Steps can be set", () => {
  const scheduler = new EulerDiscreteScheduler();
  scheduler.setTimesteps(null, { sigmas: AysSchedules.StableDiffusionSigmas });
  expect(scheduler.timesteps).toHaveLength(10);
  scheduler.setTimesteps(null, { timesteps: AysSchedules.StableDiffusionTimesteps });
  expect(scheduler.timesteps).toEqual([...AysSchedules.StableDiffusionTimesteps]);
});

test("the float32 logarithm is numpy's, where that differs from the nearest float", () => {
  // numpy 2.4, AVX2 and AVX512
  for (const [x, log] of LOGS) expect(logFloat32(Math.fround(x))).toBe(Math.fround(log));
  expect(logFloat32(0)).toBe(-Infinity);
});

const LOGS: [number, number][] = [
  [2.9853506088256836, 1.093717098236084],
  [2.416686773300171, 0.8823975324630737],
  [6.028743743896484, 1.7965385913848877],
  [1.0247273445129395, 0.024426570162177086],
  [1.3316903114318848, 0.28644901514053345],
  [0.9415853023529053, -0.06019033491611481],
  [0.023606181144714355, -3.746246814727783],
  [1.1762211322784424, 0.16230686008930206],
  [0.029167533, -3.534698963165283],
  [14.614647, 2.6820242404937744],
  [1.0, 0.0],
];
