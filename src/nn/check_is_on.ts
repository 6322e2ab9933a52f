import type { Device } from "../tensor/device.js";
import type { DType } from "../tensor/dtype.js";

/** Where a model or the models of a pipeline are, and in which dtypes. */
export interface Place {
  readonly device: Device | null;
  readonly dtypes: readonly DType[];
}

/**
 * What to() of models and pipelines does: they stay where and as they were loaded.
 * @param given devices and dtypes, as torch takes them in any order; null and undefined behind the first say nothing. "webgpu",
 *   "cuda" and "gpu", also with ":0", are any device
 * @throws Error for another device or dtype than those of `place`
 */
export function checkIsOn(given: readonly unknown[], what: string, place: Place): void {
  for (const [i, one] of given.entries()) {
    if (i > 0 && (one === null || one === undefined)) continue;
    if (typeof one !== "string") {
      if (one !== place.device) refuseDevice(what);
    } else if (/^(b?float|int)\d+$/.test(one)) {
      if (place.dtypes.some((dtype) => dtype !== one))
        throw new Error(`to: ${what} keeps its dtype; load it with fromPretrained(source, { dtype: "${one}" })`);
    } else if (!/^(webgpu|cuda|gpu)(:0)?$/.test(one)) refuseDevice(what);
  }
}

function refuseDevice(what: string): never {
  throw new Error(
    `to: ${what} is on a WebGPU device already; to use another, load it with fromPretrained(source, { device })`,
  );
}
