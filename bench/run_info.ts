import type { Timer } from "./harness.js";
import type { RunInfo } from "./results.js";

type DeviceInfo = Pick<RunInfo, "adapter" | "vendor" | "architecture" | "driver" | "software" | "features" | "clock">;

/** What a run's device says of itself, in Node as in a browser. */
export function deviceInfo({ probe: { device }, clock }: Timer): DeviceInfo {
  const { description, device: name, vendor, architecture } = device.adapterInfo;
  const adapter = name || description || architecture || "unknown"; // browsers leave out the first two
  const features = [...device.features].sort();
  return { adapter, vendor, architecture, driver: description, software: device.isSoftware, features, clock };
}
