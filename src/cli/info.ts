import { fileURLToPath } from "node:url";
import { EMBEDDED_MODEL, type Device } from "../index.js";
import { parse } from "./arguments.js";
import { UsageError } from "./errors.js";
import { packageVersion } from "./package.js";
import { withDevice } from "./session.js";

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;

/** `webgpu-diffusers info`: versions first, which are of use also where there is no adapter. */
export async function info(args: string[]): Promise<void> {
  const { positionals } = parse(args, []);
  if (positionals.length > 0) throw new UsageError(`info takes no arguments, got "${positionals.join(" ")}"`);
  print("webgpu-diffusers", packageVersion());
  print("Node", `${process.version} on ${process.platform}-${process.arch}`);
  print("embedded model", fileURLToPath(EMBEDDED_MODEL));
  await withDevice(async (device) => printDevice(device));
}

function printDevice({ adapterInfo, isSoftware, features, limits, tunings }: Device): void {
  const { vendor, architecture, device, description } = adapterInfo;
  print("adapter", description || device || "(no description)");
  print("  vendor", vendor || "-");
  print("  architecture", architecture || "-");
  print("  device", device || "-");
  print("  software", isSoftware ? "yes: it runs on the CPU" : "no");
  print("features in use", [...features].sort().join(", ") || "none");
  print("tuned ops", String(tunings.kept.size || "none"));
  for (const name of LIMITS) print(name, String(limits[name]) + (name.endsWith("Size") ? inUnits(limits[name]) : ""));
}

const print = (name: string, value: string): void => console.log(`${`${name}:`.padEnd(36)}${value}`);

const inUnits = (bytes: number): string =>
  bytes >= 2 ** 20 ? ` bytes (${Math.floor(bytes / 2 ** 20)} MiB)` : ` bytes (${Math.floor(bytes / 1024)} KiB)`;
