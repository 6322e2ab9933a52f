import type { Timer } from "./harness.js";
import type { RunInfo } from "./results.js";

type DeviceInfo = Pick<RunInfo, Machine | "features" | "tuned" | "clock">;
type Machine = "adapter" | "vendor" | "architecture" | "driver" | "software";

/** What a run's device says of itself, in Node as in a browser. */
export function deviceInfo({ probe: { device }, clock }: Timer): DeviceInfo {
  const { description, device: name, vendor, architecture } = device.adapterInfo;
  const adapter = name || description || architecture || "unknown"; // browsers leave out the first two
  const features = [...device.features].sort();
  const tuned = device.tunings.kept.size;
  return { adapter, vendor, architecture, driver: description, software: device.isSoftware, features, tuned, clock };
}
