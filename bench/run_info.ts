import type { Timer } from "./harness.js";
import type { Asked } from "./page/parameters.js";
import type { RunInfo } from "./results.js";

type Found = Pick<RunInfo, Machine | "features" | "tuned" | "clock" | "quick" | "tune">;
type Machine = "adapter" | "vendor" | "architecture" | "driver" | "software";

/** What a run's device says of itself and how it is measured, in Node as in a browser. */
export function deviceInfo({ probe: { device }, clock }: Timer, { quick, tune }: Pick<Asked, "quick" | "tune">): Found {
  const { description, device: name, vendor, architecture } = device.adapterInfo;
  const adapter = name || description || architecture || "unknown"; // browsers leave out the first two
  const features = [...device.features].sort();
  const tuned = device.tunings.kept.size;
  const where = { adapter, vendor, architecture, driver: description, software: device.isSoftware, features };
  return { ...where, tuned, clock, quick, tune };
}
