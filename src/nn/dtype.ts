/** The dtypes that models may have. */
import { shown } from "../arguments/shown.js";
import type { DType } from "../tensor/dtype.js";

/** Storage of weights and activations; sums are always in float32. */
export type ModelDType = "float32" | "float16";

/** The option `dtype` under Python's names, of which the later ones are older. */
export interface DTypeOptions<T = ModelDType> {
  /** Storage of weights and activations; sums are always in float32. Default "float32", whatever the file has. */
  dtype?: T | null;
  torchDtype?: T | null;
  torch_dtype?: T | null;
}

/** Names of all DTypeOptions. */
export const DTYPE_OPTION_NAMES: readonly (keyof DTypeOptions)[] = ["dtype", "torchDtype", "torch_dtype"];

export const givenDType = <T>({ dtype, torchDtype, torch_dtype }: DTypeOptions<T>): T | undefined =>
  dtype ?? torchDtype ?? torch_dtype ?? undefined;

/** Why not, and what to do. */
const REASONS: Record<string, string> = {
  bfloat16: "WebGPU has no bfloat16; files in it are read all the same",
  float64: "WebGPU has no float64",
};

/** @throws TypeError naming class, option and value */
export function checkDType(className: string, option: string, dtype: unknown = "float32"): ModelDType & DType {
  if (dtype === "float32" || dtype === "float16") return dtype;
  const reason = typeof dtype === "string" ? REASONS[dtype.replace(/^torch\./, "")] : undefined;
  throw new TypeError(
    `${className}: ${option} must be "float32" or "float16", got ${shown(dtype)}${reason ? ` (${reason})` : ""}`,
  );
}
