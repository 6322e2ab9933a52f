import type { Device } from "../tensor/device.js";

/**
 * What to() of models and pipelines does: they stay where they were loaded.
 * @param device "webgpu", "cuda" and "gpu" are any
 * @throws Error for another device than `here()`
 */
export function checkIsOn(device: Device | string, what: string, here: () => Device | null): void {
  if (typeof device === "string" ? ["webgpu", "cuda", "gpu"].includes(device) : device === here()) return;
  const asked = typeof device === "string" ? `"${device}"` : "another device";
  throw new Error(
    `to: ${what} is on a WebGPU device already; to use ${asked}, load it with fromPretrained(source, { device, dtype })`,
  );
}
