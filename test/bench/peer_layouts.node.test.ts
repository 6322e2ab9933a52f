// The layouts that other libraries get: changed before and after the timing, for all of them alike.
import { expect, test } from "vitest";
import type { Jax } from "../../bench/peers/jax.js";
import { formulas as jax } from "../../bench/peers/jax_formulas.js";
import { oneOpModels } from "../../bench/peers/onnx_models.js";
import { backFrom, problemOf, shapedInputs, type Shaped } from "../../bench/peers/problem.js";
import type { TF } from "../../bench/peers/tfjs.js";
import { formulas as tfjs } from "../../bench/peers/tfjs_formulas.js";
import type { AttentionShape, GroupNormShape } from "../../bench/shapes.js";

const attention: AttentionShape = { op: "attention", B: 1, heads: 2, Lq: 8, Lk: 12, D: 4, causal: false };
const norm: GroupNormShape = { op: "groupnorm", N: 2, C: 8, HW: 6, groups: 4, eps: 1e-5, silu: false };
const problems = [problemOf(attention), problemOf(norm)];
const sizes = (ways: { inputs: readonly Shaped[] }[]): number[][] => ways.map(({ inputs: [[, shape]] }) => shape);

test("attention by products of matrices gets heads before tokens", () => {
  expect(sizes(tfjs({} as TF, problems[0]))).toEqual([[1, 2, 8, 4]]);
  expect(sizes(jax({} as Jax, problems[0]))).toEqual([
    [1, 8, 2, 4],
    [1, 2, 8, 4],
  ]);
  const [, ort] = oneOpModels(problems[0]);
  expect(ort.feeds.map(({ shape }) => shape)).toEqual([
    [1, 2, 8, 4],
    [1, 2, 4, 12],
    [1, 2, 12, 4],
  ]);
  expect(ort.model.nodes.map(({ op }) => op)).toEqual(["Mul", "MatMul", "Softmax", "MatMul"]);
});

test("group norm gets a group as one row; where pictures are NHWC otherwise, too", () => {
  expect(sizes(jax({} as Jax, problems[1]))).toEqual([[2, 4, 12]]);
  expect(sizes(tfjs({} as TF, problems[1]))).toEqual([
    [2, 6, 4, 2],
    [2, 4, 12],
  ]);
});

test("and back", () => {
  const [q] = problems[0].inputs;
  const [[byHeads]] = shapedInputs.attentionByHeads(attention, problems[0].inputs);
  expect(byHeads).not.toEqual(q);
  expect(backFrom.attentionByHeads(attention, byHeads)).toEqual(q);
  const [x] = problems[1].inputs;
  const [[rows]] = shapedInputs.groupnorm(norm, problems[1].inputs);
  expect(backFrom.groupnorm(norm, rows)).toEqual(x);
});
