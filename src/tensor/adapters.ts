/** The GPUs that there are: those of the browser, or of Dawn in Node. `navigator.gpu` appears only here. */
import { inNode } from "../arguments/environment.js";
import { NoAdapterError } from "./errors.js";

/** Asks for an adapter; each call gives a new one of the same hardware, as an adapter makes one device only. */
export type AdapterSource = () => Promise<GPUAdapter | null>;

/** Every adapter that this process can open, some perhaps more than once. */
export async function adapterSources(): Promise<AdapterSource[]> {
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (gpu) {
    const ask =
      (options: GPURequestAdapterOptions): AdapterSource =>
      () =>
        gpu.requestAdapter(options);
    const preferences = ["high-performance", "low-power"] as const;
    return [...preferences.map((powerPreference) => ask({ powerPreference })), ask({ forceFallbackAdapter: true })];
  }
  if (!inNode()) return [];
  const gpus = await (await import("./gpu_node.js")).requestNodeGPUs();
  return gpus.map((each) => () => each.requestAdapter());
}

/** @throws NoAdapterError with what to do */
export async function requestAdapter(powerPreference: GPUPowerPreference = "high-performance"): Promise<GPUAdapter> {
  let gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu && inNode()) gpu = await (await import("./gpu_node.js")).requestNodeGPU();
  const adapter = await gpu?.requestAdapter({ powerPreference });
  if (adapter) return adapter;
  throw new NoAdapterError(
    gpu
      ? "This browser has WebGPU but gives no adapter: enable hardware acceleration (chrome://gpu shows why), or update the graphics driver. Where it gave one before, its GPU process has crashed too often: reload the page, or restart the browser."
      : "This browser has no WebGPU: use Chrome or Edge 113+, Safari 26+ or Firefox 141+, on an https:// or http://localhost page.",
  );
}
