import type { Device } from "../tensor/device.js";

/**
 * What to() of models and pipelines does: they stay where they were loaded.
 * @param device "webgpu", "cuda" and "gpu", also with ":0", are any
 * @throws Error for another device than `here()`
 */
export function checkIsOn(device: Device | string, what: string, here: () => Device | null): void {
  if (typeof device === "string" ? /^(webgpu|cuda|gpu)(:0)?$/.test(device) : device === here()) return;
  const isDType = typeof device === "string" && /^(b?float|int)\d+$/.test(device);
  if (isDType)
    throw new Error(`to: ${what} keeps its dtype; load it with fromPretrained(source, { dtype: "${device}" })`);
  throw new Error(
    `to: ${what} is on a WebGPU device already; to use another, load it with fromPretrained(source, { device })`,
  );
}
