import os from "node:os";
import { paceEvents } from "./dawn_events.js";
import { NoAdapterError } from "./errors.js";
import { findChromiumPackage, privateTempFolder, unpackSwiftShader } from "./software_adapter_node.js";

// Once Dawn's GPU object is garbage-collected its devices abort the process, and while somebody holds it the process
// does not exit by itself; so exactly one module variable holds it, from requestNodeGPU() to releaseNodeGPU().
let held: GPU | undefined;
let pending: Promise<GPU> | undefined;
/** The same for the further objects that requestNodeGPUs() makes, by the adapter that each gives. */
let heldByName = new Map<string, GPU>();

/**
 * WebGPU in Node, from the optional npm package `webgpu` (Dawn). The first call loads it, later calls share the result.
 * Where Dawn finds no adapter on linux-x64 and `@sparticuz/chromium` is installed, that package's SwiftShader is used.
 *
 * Environment: `WEBGPU_DIFFUSERS_ADAPTER` picks an adapter by (a part of) its name, and `swiftshader` takes the npm one
 * even where other drivers exist; `WEBGPU_DIFFUSERS_DAWN_FLAGS` is a comma-separated list for Dawn's `create`
 * instead of the default, which leaves out bounds checks.
 * `VK_ICD_FILENAMES` and `VK_DRIVER_FILES` set by the user are never overridden.
 *
 * Call it first on the main thread: in a worker thread Node keeps environment variables from native libraries.
 * @throws NoAdapterError when `webgpu` is missing or does not load, and when there is no adapter; the message names the cure.
 */
export function requestNodeGPU(): Promise<GPU> {
  pending ??= findGPU().catch((error: unknown) => {
    releaseNodeGPU();
    throw error;
  });
  return pending;
}

/**
 * An object per adapter that Dawn finds; each gives its adapter as often as asked. `WEBGPU_DIFFUSERS_ADAPTER` leaves the one
 * that it names. Of several cards of one name Dawn gives the first only.
 */
export async function requestNodeGPUs(): Promise<GPU[]> {
  const first = await requestNodeGPU();
  if (process.env.WEBGPU_DIFFUSERS_ADAPTER?.trim()) return [first];
  const { create } = await importDawn();
  const names = await adapterNames(create([...dawnFlags(), `adapter=${NOBODY}`]));
  if (names.length < 2) return [first];
  for (const name of names)
    if (!heldByName.has(name)) heldByName.set(name, create([...dawnFlags(), `adapter=${name}`]));
  return [first, ...names.map((name) => heldByName.get(name) as GPU)];
}

const NOBODY = "no adapter has this name";

/** Dawn lists the adapters that it has when none has the wanted name. */
async function adapterNames(gpu: GPU): Promise<string[]> {
  const answer = await gpu.requestAdapter().then(() => "", String);
  return [...new Set([...answer.matchAll(/name: '(.*)'/g)].map(([, name]) => name))];
}

/** Turns of the event loop in which Dawn answers what was under way when a device was destroyed. */
const LAST_TURNS = 20;

/**
 * Lets go of Dawn, so that the process can exit. Destroy every device first: a device without its GPU aborts.
 *
 * The objects themselves live for some more turns of the event loop, in which Dawn answers what was under way (error scopes, the
 * loss) through a bare pointer to them: collected before that, about one process in thirty died in native code.
 */
export function releaseNodeGPU(): void {
  const last = [held, ...heldByName.values()];
  held = undefined;
  pending = undefined;
  heldByName = new Map();
  let turns = LAST_TURNS;
  const wait = (): void => {
    if (turns-- > 0 && last.length > 0) setImmediate(wait);
    else last.length = 0;
  };
  wait();
}

/**
 * Dawn's bounds checks cost a third of the time of every kernel on CPU adapters and up to 70 % on GPUs (gpuweb #1202).
 * All kernels here keep their indices inside by construction, and the browser runs the same ones with the checks on.
 * Subgroup matrices are among the APIs that Dawn calls unsafe, for being unfinished. It hides halves on NVIDIA's Vulkan driver,
 * for old versions' sake; every kernel's tests pass there with them (driver 580, H100). Timestamps are rounded to 65 us against pages
 * that spy on others; a process may know better.
 */
const DEFAULT_FLAGS =
  "enable-dawn-features=disable_robustness,allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable-dawn-features=timestamp_quantization";

const dawnFlags = (): string[] =>
  // A flag's own value may be a list: only a comma before a name ends it.
  (process.env.WEBGPU_DIFFUSERS_DAWN_FLAGS ?? DEFAULT_FLAGS).split(/,(?=[\w-]+=)/).filter((flag) => flag !== "");

async function findGPU(): Promise<GPU> {
  const { create, globals } = await importDawn();
  for (const [name, value] of Object.entries(globals))
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  paceEvents(globals);
  quietVulkanLoader();

  const wanted = process.env.WEBGPU_DIFFUSERS_ADAPTER?.trim() ?? "";
  const flags = dawnFlags();
  if (wanted) flags.push(`adapter=${wanted.toLowerCase() === "swiftshader" ? "SwiftShader" : wanted}`);
  const tried: string[] = [];
  const attempt = async (what: string): Promise<GPU | null> => {
    held = create(flags);
    let answer = "none found";
    try {
      if (await held.requestAdapter()) return held;
    } catch (error) {
      // With `adapter=name` Dawn rejects and lists the names it has.
      answer = String(error).replace(/\s*\n\s*/g, " ");
    }
    tried.push(`${what} (${answer})`);
    return null;
  };

  const source = findChromiumPackage();
  const mayUnpack = source !== null && mayChooseDrivers();
  const swiftShader = wanted.toLowerCase() === "swiftshader";
  if (!(swiftShader && mayUnpack)) {
    const found = await attempt(`Dawn (npm webgpu) on ${driversInUse()}`);
    if (found) return found;
  }
  if (mayUnpack && (swiftShader || !wanted)) {
    useSwiftShader(unpackSwiftShader(source));
    const found = await attempt(`the SwiftShader of @sparticuz/chromium ${source.version}`);
    if (found) return found;
  } else if (!source) tried.push("not SwiftShader from npm (@sparticuz/chromium): not installed, or not linux-x64");
  throw new NoAdapterError(noAdapterMessage(wanted, tried));
}

async function importDawn(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === "ERR_MODULE_NOT_FOUND" ? "is not installed" : `does not load here: ${String(cause)}`;
    throw new NoAdapterError(
      `webgpu: Node has no WebGPU of its own and the npm package \`webgpu\` (Dawn) ${why}. ` +
        "Install it with: npm install webgpu (Linux needs glibc >= 2.34: Debian 12, Ubuntu 22.04 or later)",
      { cause },
    );
  }
}

let swiftShaderManifest: string | undefined;

/** False when the user chose the Vulkan drivers. A choice that this module made, here or in a parent, is none. */
function mayChooseDrivers(): boolean {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  if (VK_DRIVER_FILES) return false;
  return !VK_ICD_FILENAMES || VK_ICD_FILENAMES === (swiftShaderManifest ?? process.env[OWN_CHOICE]);
}

// Child processes inherit VK_ICD_FILENAMES but not the loaded library; this tells them whose choice it was.
const OWN_CHOICE = "WEBGPU_DIFFUSERS_SWIFTSHADER_MANIFEST";

function useSwiftShader({ manifest, loader }: { manifest: string; loader: string }): void {
  swiftShaderManifest = process.env.VK_ICD_FILENAMES = process.env[OWN_CHOICE] = manifest;
  // Loaded first, this library answers when Dawn later opens "libvulkan.so.1" by name. It is no Node addon, so dlopen
  // always ends with "Module did not self-register"; RTLD_NODELETE (0x1000) keeps it loaded all the same.
  const { RTLD_NOW, RTLD_GLOBAL } = os.constants.dlopen;
  try {
    process.dlopen({ exports: {} }, loader, RTLD_NOW | RTLD_GLOBAL | 0x1000);
  } catch {
    // expected, see above; if it did not load at all, Dawn finds no adapter and the error says so
  }
}

/** Mesa and the Vulkan loader warn on stderr when XDG_RUNTIME_DIR is unset, as it is in containers and CI. */
function quietVulkanLoader(): void {
  if (process.platform !== "linux" || process.env.XDG_RUNTIME_DIR) return;
  try {
    process.env.XDG_RUNTIME_DIR = privateTempFolder();
  } catch {
    // only a warning would be saved
  }
}

function driversInUse(): string {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  if (VK_DRIVER_FILES) return `the drivers of VK_DRIVER_FILES=${VK_DRIVER_FILES}`;
  if (VK_ICD_FILENAMES) return `the drivers of VK_ICD_FILENAMES=${VK_ICD_FILENAMES}`;
  return "the system's drivers";
}

function noAdapterMessage(wanted: string, tried: string[]): string {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  const cures: Record<string, string> = {
    linux:
      (VK_ICD_FILENAMES || VK_DRIVER_FILES ? "unset VK_ICD_FILENAMES and VK_DRIVER_FILES, or " : "") +
      "install the GPU's Vulkan driver, or a software one, Mesa 24.2 or later (Ubuntu 24.04: sudo apt-get install " +
      "mesa-vulkan-drivers; Debian 12: add the suite bookworm-backports, then sudo apt-get install " +
      "-t bookworm-backports mesa-vulkan-drivers), or, on x64 and without root: npm install @sparticuz/chromium@147.0.0",
    darwin: "macOS has Metal built in: run outside a virtual machine without a GPU, on macOS 11 or later",
    win32: "install the GPU's driver, or set WEBGPU_DIFFUSERS_ADAPTER=Microsoft for the software adapter of Windows",
  };
  return (
    `webgpu: no adapter${wanted ? ` matches WEBGPU_DIFFUSERS_ADAPTER=${wanted}` : " found"}. Tried: ` +
    `${tried.join("; ")}. Cure: ${wanted ? "unset WEBGPU_DIFFUSERS_ADAPTER, or " : ""}` +
    (cures[process.platform] ?? `WebGPU in Node knows Linux, macOS and Windows, got ${process.platform}`)
  );
}
