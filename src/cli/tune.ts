import { forgetTunings, tune, type TunedOp } from "../index.js";
import { storeTunings } from "../tensor/tuning/store.js";
import { countOf, dtypeOf, guidanceOf, parse, positive, sizeOf } from "./arguments.js";
import { UsageError } from "./errors.js";
import { defaultGuidance, withDevice, withPipeline } from "./session.js";

/** `webgpu-diffusers tune`: measures ways of a model's ops on this adapter and keeps the fastest. */
export async function tuneKernels(args: string[], signal: AbortSignal): Promise<void> {
  const names = ["model", "size", "dtype", "count", "guidance", "seconds"] as const;
  const { values, flags, positionals } = parse(args, names, ["forget"]);
  if (positionals.length > 0) throw new UsageError(`tune takes options only, got "${positionals.join(" ")}"`);
  if (flags.forget) return withDevice(forgetTunings);
  const { model } = values;
  const drawing = {
    ...sizeOf(values.size),
    numImagesPerPrompt: countOf(values.count),
    guidanceScale: guidanceOf(values.guidance, defaultGuidance(model)),
  };
  const seconds = values.seconds === undefined ? Infinity : positive("seconds", values.seconds);
  const dtype = dtypeOf(values.dtype);

  await withPipeline({ model, dtype, signal }, async (pipeline) => {
    pipeline.setProgressBarConfig({ disable: true });
    const { device } = pipeline;
    const rows: TunedOp[] = [];
    const draw = (): Promise<unknown> => pipeline("", { numInferenceSteps: 1, ...drawing, signal });
    const progressCallback = (row: TunedOp): void => {
      rows.push(row);
      print(row);
    };
    try {
      await tune(draw, { device, seconds, signal, progressCallback, store: false });
    } finally {
      if (rows.length > 0) console.log(sumText(rows, await storeTunings(device)));
    }
  });
}

function print(row: TunedOp): void {
  console.log(rowText(row));
  for (const each of row.refused) console.log(`  refused: ${each.way}: ${each.why}`);
}

export function rowText({ done, total, op, calls, ruleMs, ms, way }: TunedOp): string {
  const times = (): string => {
    if (ms === Infinity) return "not measured";
    if (ruleMs === Infinity) return `wrong by rule, ${milliseconds(ms)} and right: ${way}`;
    if (ms === ruleMs) return `${milliseconds(ruleMs)}, the fastest`;
    return `${milliseconds(ruleMs)}, ${milliseconds(ms)}, ${(ruleMs / ms).toFixed(2)} x as fast: ${way}`;
  };
  return `${done}/${total} ${op}${calls > 1 ? ` (${calls} times)` : ""}: ${times()}`;
}

/** @param where they are kept */
export function sumText(rows: readonly TunedOp[], where: string | null): string {
  const timed = rows.filter(({ ruleMs }) => ruleMs < Infinity);
  const sum = (of: (row: TunedOp) => number): string =>
    milliseconds(timed.reduce((total, row) => total + row.calls * of(row), 0));
  const faster = rows.filter(({ ms, ruleMs }) => ms < ruleMs).length;
  return (
    `${faster} of ${rows.length} ops are faster; all calls of them together: ` +
    `${sum(({ ruleMs }) => ruleMs)} by rule, ${sum(({ ms }) => ms)} now\n` +
    (where === null ? "kept nowhere: WEBGPU_DIFFUSERS_TUNINGS=off, or see above" : `kept in ${where}`)
  );
}

const milliseconds = (ms: number): string => `${ms.toFixed(ms < 10 ? 3 : 0)} ms`;
