/** What the ops of a stage of Stable Diffusion 1.5 take together, beside that stage of a model of its size where it ran too. */
import type { FloatType } from "../test/cases/data.js";
import type { Line, OpResult } from "./results.js";
import { SD15 } from "./sd15.js";
import { REAL_DECODE, REAL_SIZE, REAL_STEP } from "./sections.js";
import { digits } from "./table.js";

/** Traced ops that this library's models do in the kernel before or after: no dispatch of their own, so no time in the sum. */
const FUSED_HERE = ["add", "silu", "quick_gelu", "geglu", "concat", "upsample"];

/** Stages that `--real-size` times. */
const REAL: Partial<Record<string, readonly [what: string, name: string]>> = {
  unet_b2_64: ["real step", `${REAL_SIZE}, ${REAL_STEP}`],
  vae_decode_512: ["real decode", `${REAL_SIZE}, ${REAL_DECODE}`],
};

/** Median times calls, of every stage whose ops are all among the results, by type. */
export function stageSums(lines: readonly Line[]): string[] {
  const ops = lines.filter((line) => line.kind === "op");
  const dtypes = [...new Set(ops.map(({ dtype }) => dtype))];
  return Object.entries(SD15.stages).flatMap(([stage, traced]) => {
    const calls = traced.ops.reduce((sum, { count }) => sum + count, 0);
    return dtypes.flatMap((dtype) => {
      const inStage = ops.filter((op) => op.dtype === dtype && op.counts[stage]);
      const found = inStage.reduce((sum, { counts }) => sum + counts[stage], 0);
      return found === calls ? [sumText(stage, dtype, inStage) + realText(stage, dtype, lines)] : [];
    });
  });
}

function sumText(stage: string, dtype: FloatType, ops: readonly OpResult[]): string {
  const own = ops.filter(({ op, status }) => status !== "fused" && !FUSED_HERE.includes(op));
  const timed = ({ ms, cutFrom }: OpResult): boolean => ms !== undefined && !cutFrom;
  const sum = (some: readonly OpResult[]): number =>
    some.filter(timed).reduce((total, { ms = 0, counts }) => total + ms * counts[stage], 0);
  const missing = own.filter((op) => !timed(op)).length;
  const fused = sum(ops) - sum(own);
  return (
    `sum of ops  ${stage} ${dtype}: ${digits(sum(own))} ms` +
    (missing > 0 ? ` without ${missing} ops that have no time` : "") +
    (fused > 0 ? `, and ${digits(fused)} ms of ops that are fused here` : "")
  );
}

function realText(stage: string, dtype: FloatType, lines: readonly Line[]): string {
  const [what, name] = REAL[stage] ?? [];
  const real = lines.find((line) => line.kind === "whole" && line.name === name && line.dtype === dtype);
  return real?.kind === "whole" ? `; ${what} ${digits(real.value)} ms` : "";
}
