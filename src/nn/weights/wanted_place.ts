import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";

/** Where a model or the models of a pipeline are, and in which dtypes. */
export interface Place {
  readonly device: Device | null;
  readonly dtypes: readonly DType[];
}

/**
 * Where to() of models and pipelines wants their weights: on their device, or on the CPU. Their device and their dtype are those of their
 * loading.
 * @param given devices and dtypes, as torch takes them in any order; null and undefined behind the first say nothing. "webgpu",
 *   "cuda" and "gpu", also with ":0", are any device
 * @returns null where only dtypes are given
 * @throws Error for another device or dtype than those of `place`
 */
export function wantedPlace(given: readonly unknown[], what: string, place: Place): "cpu" | "gpu" | null {
  let wanted: "cpu" | "gpu" | null = null;
  for (const [i, one] of given.entries()) {
    if (i > 0 && (one === null || one === undefined)) continue;
    if (typeof one === "string" && /^(b?float|int)\d+$/.test(one)) {
      if (place.dtypes.some((dtype) => dtype !== one))
        throw new Error(`to: ${what} keeps its dtype; load it with fromPretrained(source, { dtype: "${one}" })`);
    } else if (one === "cpu") wanted = "cpu";
    else if (one === place.device || (typeof one === "string" && /^(webgpu|cuda|gpu)(:0)?$/.test(one))) wanted = "gpu";
    else
      throw new Error(
        `to: ${what} belongs to its WebGPU device; to use another, load it with fromPretrained(source, { device })`,
      );
  }
  return wanted;
}
