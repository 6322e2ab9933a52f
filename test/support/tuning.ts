/** Problems of a few rows and what their ways give, for the tests of the tuner. */
import { expect } from "vitest";
import type { Device } from "../../src/tensor/device.js";
import {
  wayText,
  type AttentionProblem,
  type Conv2dProblem,
  type MatmulProblem,
  type Problem,
  type Way,
} from "../../src/tensor/tuning/problem.js";
import { difference } from "../../src/tensor/tuning/race.js";
import { Trial } from "../../src/tensor/tuning/trial.js";
import type { FloatType } from "../cases/data.js";
import * as gpu from "./gpu.js";

export const NOTHING = { bias: false, residual: false, shift: false, activation: "none" } as const;
export const FINISH = { bias: true, residual: true, shift: false, activation: "silu" } as const;
export const MATMUL: MatmulProblem = {
  op: "matmul",
  dtype: "float32",
  m: 130,
  n: 192,
  k: 96,
  gated: "none",
  finish: FINISH,
};
export const CONV2D: Conv2dProblem = {
  op: "conv2d",
  dtype: "float32",
  x: [2, 9, 10, 64],
  w: [3, 3, 64, 96],
  out: [9, 10],
  stride: 1,
  edges: [1, 1, 1, 1],
  upsample: false,
  shortcut: [],
  finish: { ...FINISH, residual: false },
};
export const ATTENTION: AttentionProblem = {
  op: "attention",
  dtype: "float32",
  batch: 2,
  heads: 3,
  queries: 70,
  keys: 77,
  headSize: 40,
  causal: false,
};

export const DOUBLED: Conv2dProblem = { ...CONV2D, upsample: true, out: [18, 20], finish: { ...NOTHING, shift: true } };
export const TOLERANCE = { float32: 2 ** -16, float16: 2 ** -8 };

/** Ways of a problem, and the rules', against the reference kernel. */
export async function expectRight(device: Device, problem: Problem, ways: readonly Way[]): Promise<void> {
  const trial = new Trial(device, problem);
  try {
    const wanted = await gpu.take(trial.runPlain());
    expect(wanted.some((value) => value !== 0)).toBe(true);
    for (const way of [{}, ...ways]) {
      const got = await gpu.take(trial.run(way));
      expect(difference(got, wanted, TOLERANCE[problem.dtype as FloatType]), wayText(way)).toBeNull();
    }
  } finally {
    trial.dispose();
  }
}
