import { fileURLToPath } from "node:url";
import { EMBEDDED_MODEL, estimateMemory, type Device } from "../index.js";
import { countOf, dtypeOf, guidanceOf, parse, sizeOf } from "./arguments.js";
import { UsageError } from "./errors.js";
import { packageVersion } from "./package.js";
import { isRight, selfTest } from "./self_test.js";
import { withDevice } from "./session.js";

const MEMORY_OPTIONS = ["model", "size", "dtype", "count", "guidance"] as const;

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;

/** `webgpu-diffusers info`: versions first, which are of use also where there is no adapter. */
export async function info(args: string[], signal: AbortSignal): Promise<void> {
  const { positionals, values, flags } = parse(args, MEMORY_OPTIONS, ["self-test", "cpu-offload", "no-safety-checker"]);
  if (positionals.length > 0) throw new UsageError(`info takes options only, got "${positionals.join(" ")}"`);
  const { model } = values;
  const dtype = dtypeOf(values.dtype);
  const drawing = {
    ...sizeOf(values.size),
    ...(values.count !== undefined && { numImagesPerPrompt: countOf(values.count) }),
    ...(values.guidance !== undefined && { guidanceScale: guidanceOf(values.guidance, 1) }),
  };
  const enableModelCpuOffload = flags["cpu-offload"];
  const asked =
    enableModelCpuOffload || flags["no-safety-checker"] || Object.values(values).some((value) => value !== undefined);
  print("webgpu-diffusers", packageVersion());
  print("Node", `${process.version} on ${process.platform}-${process.arch}`);
  print("embedded model", fileURLToPath(EMBEDDED_MODEL));
  await withDevice(async (device) => {
    printDevice(device);
    if (asked) {
      const without = flags["no-safety-checker"] ? { safety_checker: null } : {};
      const options = { device, dtype, enableModelCpuOffload, signal, ...without };
      const { weights, peak } = await estimateMemory(model ?? EMBEDDED_MODEL, options, drawing);
      print(`memory, weights in ${dtype}${enableModelCpuOffload ? " between calls" : ""}`, inUnits(weights));
      print("memory, weights and drawing, at most", inUnits(peak));
    }
    if (flags["self-test"]) await printSelfTest(device, signal);
  });
}

/** @throws Error where the adapter computes wrong */
async function printSelfTest(device: Device, signal: AbortSignal): Promise<void> {
  let wrong = 0;
  for await (const result of selfTest(device, signal)) {
    const { dtype, what, error, tolerance } = result;
    if (!isRight(result)) wrong++;
    const off = what === "picture" ? `${error.toFixed(3)} of 255 from diffusers'` : `${error.toExponential(1)} off`;
    print(`self-test ${dtype} ${what}`, `${isRight(result) ? "right" : "WRONG"}, ${off} (up to ${tolerance} is right)`);
  }
  if (wrong > 0)
    throw new Error(
      `the self-test found ${wrong} results wrong on this adapter: please report what is printed above; another adapter or a newer ` +
        "driver may help",
    );
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
  for (const name of LIMITS) print(name, name.endsWith("Size") ? inUnits(limits[name]) : String(limits[name]));
}

const print = (name: string, value: string): void => console.log(`${`${name}:`.padEnd(38)}${value}`);

const inUnits = (bytes: number): string =>
  bytes >= 2 ** 20
    ? `${bytes} bytes (${Math.floor(bytes / 2 ** 20)} MiB)`
    : `${bytes} bytes (${Math.floor(bytes / 1024)} KiB)`;
