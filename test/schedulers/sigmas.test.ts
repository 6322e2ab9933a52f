import { expect, test } from "vitest";
import { betaQuantile, incompleteBeta } from "../../src/schedulers/beta_distribution.js";
import {
  AysSchedules,
  DPMSolverMultistepScheduler,
  EulerDiscreteScheduler,
  FlowMatchEulerDiscreteScheduler,
  HeunDiscreteScheduler,
  type LMSDiscreteScheduler,
  schedulerClass,
} from "../../src/schedulers/index.js";
import { logFloat32 } from "../../src/schedulers/sigmas.js";
import { expectWithin } from "../support/timing.js";

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

test("beta sigmas for all training timesteps are made quickly", async () => {
  const scheduler = await expectWithin(2000, () => new HeunDiscreteScheduler({ use_beta_sigmas: true }));
  expect(scheduler.sigmas.every((sigma, i) => i === 0 || sigma <= scheduler.sigmas[i - 1])).toBe(true);
});

test("the schedules of Align Your Steps can be set", () => {
  const scheduler = new EulerDiscreteScheduler();
  scheduler.setTimesteps(null, { sigmas: AysSchedules.StableDiffusionSigmas });
  expect(scheduler.timesteps).toHaveLength(10);
  scheduler.setTimesteps(null, { timesteps: AysSchedules.StableDiffusionTimesteps });
  expect(scheduler.timesteps).toEqual([...AysSchedules.StableDiffusionTimesteps]);
});

/** Numbers that Python's diffusers 0.42.1 printed. */
const expectSigmas = (got: readonly number[], wanted: readonly number[]): void => {
  expect(got).toHaveLength(wanted.length);
  got.forEach((sigma, i) => expect(Math.abs(sigma - wanted[i])).toBeLessThanOrEqual(1e-7 * wanted[i]));
};

test("Karras levels of LMS and DPM-Solver-SDE do not heed another class's sigma_min and sigma_max, other shapes do", () => {
  const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
  const bounds = { use_karras_sigmas: true, sigma_min: 0.1, sigma_max: 10 };
  const { config } = new EulerDiscreteScheduler({ ...betas, ...bounds });
  const levels = (className: string, shape: Record<string, boolean>): number[] => {
    const scheduler = schedulerClass(className).fromConfig(config, shape) as LMSDiscreteScheduler;
    scheduler.setTimesteps(4);
    return [...new Set(scheduler.sigmas)]; // one of the classes has them twice
  };
  for (const name of ["LMSDiscreteScheduler", "DPMSolverSDEScheduler"]) {
    expectSigmas(
      levels(name, {}),
      [14.614646911621094, 3.1686110496520996, 0.44692090153694153, 0.029167532920837402, 0],
    );
    const exponential = { use_karras_sigmas: false, use_exponential_sigmas: true };
    expectSigmas(levels(name, exponential), [10, 2.1544346809387207, 0.46415889263153076, 0.10000000149011612, 0]);
  }
});

test("with fewer trained_betas than training timesteps DPM-Solver spaces over the timesteps", () => {
  const trained_betas = Array.from({ length: 50 }, (_, i) => 0.001 * (i + 1));
  const scheduler = new DPMSolverMultistepScheduler({ trained_betas: trained_betas as never });
  scheduler.setTimesteps(5);
  expect(scheduler.timesteps).toEqual([999, 799, 599, 400, 200]);
  expectSigmas(scheduler.sigmas, [...new Array<number>(5).fill(1.6304550170898438), 0]);
});

test("the last level with zero terminal SNR is found, although it is below those before it", () => {
  const betas = { beta_start: 0.001, beta_end: 0.03, beta_schedule: "scaled_linear", rescale_betas_zero_snr: true };
  const scheduler = new DPMSolverMultistepScheduler({ ...betas, use_lu_lambdas: true });
  scheduler.setTimesteps(4);
  expect(scheduler.timesteps).toEqual([999, 858, 361, 0]);
});

test("flow matching shifts levels of one's own in float32, which the inverse shows", () => {
  const sigmas = [0.985, 0.574, 0.186, 0.045];
  const inverse = (config: object, options: object): number[] => {
    const scheduler = new FlowMatchEulerDiscreteScheduler({ ...config, invert_sigmas: true });
    scheduler.setTimesteps(null, { sigmas, ...options });
    return scheduler.sigmas;
  };
  const shifted = [0.006796121597290039, 0.2500792145729065, 0.6628931164741516, 0.9050851464271545, 1];
  expectSigmas(inverse({ use_dynamic_shifting: true }, { mu: 0.8 }), shifted);
  const stretched = [0.005649209022521973, 0.22183215618133545, 0.6636199951171875, 0.9799999594688416, 1];
  expectSigmas(inverse({ shift: 3, shift_terminal: 0.02 }, {}), stretched);
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
