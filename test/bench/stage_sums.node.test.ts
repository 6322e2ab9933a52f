// The weighted sum of a stage's ops beside the same stage of a model of that size.
import { expect, test, vi } from "vitest";
import { describe as describeRow } from "../../bench/measure.js";
import { printSummary } from "../../bench/print.js";
import { reportPage } from "../../bench/report.js";
import type { Line, OpResult, WholeResult } from "../../bench/results.js";
import { sd15Rows } from "../../bench/sd15.js";
import { REAL_SIZE, REAL_STEP } from "../../bench/sections.js";
import { stageSums } from "../../bench/stage_sums.js";

const run = {
  date: "2026-01-02T03:04:05Z",
  version: "0.0.0",
  platform: "p",
  cpu: "c",
  adapter: "a",
  vendor: "",
  architecture: "",
  driver: "",
  software: true,
  features: [],
  quick: false,
  clock: "wall" as const,
};
const STAGE = "unet_b2_64";

/** Every op takes a millisecond a call. */
const ops = sd15Rows().map((row): OpResult & Line => {
  const [described, bench] = describeRow(row, "float16");
  return { ...described, ...(bench ? { status: "ok", ms: 1 } : {}), run };
});
const real: WholeResult & Line = {
  kind: "whole",
  name: `${REAL_SIZE}, ${REAL_STEP}`,
  dtype: "float16",
  value: 500,
  unit: "ms",
  run,
};
const callsOf = (kinds: readonly string[]): number =>
  sd15Rows().reduce((sum, { shape, counts }) => sum + (kinds.includes(shape.op) ? (counts[STAGE] ?? 0) : 0), 0);
const sumOf = (lines: readonly Line[]): string | undefined => stageSums(lines).find((text) => text.includes(STAGE));

const own = callsOf(["matmul", "conv2d", "attention", "groupnorm", "layernorm"]);
// Additions with broadcast are no op at all; of those without, and of the others, the trace has as many calls as it says.
const broadcast = sd15Rows().filter(({ shape }) => shape.op === "add" && shape.broadcast);
const fused =
  callsOf(["add", "silu", "geglu", "concat_channels", "upsample_nearest2x"]) -
  broadcast.reduce((sum, { counts }) => sum + (counts[STAGE] ?? 0), 0);

test("the sum leaves out what is fused here, and stands beside the real step of the same type", () => {
  const sum = `sum of ops  ${STAGE} float16: ${own} ms, and ${fused} ms of ops that are fused here`;
  expect(sumOf(ops)).toBe(sum);
  expect(sumOf([...ops, real])).toBe(`${sum}; real step 500 ms`);
  expect(sumOf([...ops, { ...real, dtype: "float32" }])).toBe(sum);
});

test("there is none where ops of the stage were not asked for, and one that is wrong is named", () => {
  expect(stageSums(ops.slice(1)).join()).not.toContain(STAGE);
  const wrong = ops.map((op, i): OpResult & Line => (i === 0 ? { ...op, status: "wrong", ms: undefined } : op));
  expect(sumOf(wrong)).toContain(`${own - ops[0].counts[STAGE]} ms without 1 ops that have no time`);
});

test("the terminal and the report have it", () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  try {
    printSummary([...ops, real]);
    expect(log.mock.calls.flat()).toContain(sumOf([...ops, real]));
  } finally {
    log.mockRestore();
  }
  expect(reportPage([...ops, real])).toContain("; real step 500 ms");
});
