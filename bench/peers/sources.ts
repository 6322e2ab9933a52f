import type { Begun, Given } from "./main.js";
import { openJax } from "./jax.js";
import type { Library, Source } from "./library.js";
import { openOrt } from "./ort.js";
import { openOurs } from "./ours.js";
import { OURS } from "./ratios.js";
import { openTfjs } from "./tfjs.js";

/** All libraries, ours first. @param wasmPaths see `openOrt` */
export function sourcesOf(gpu: GPU, versions: Given["versions"], wasmPaths?: string): Source[] {
  const adapter = async (): Promise<GPUAdapter> => (await gpu.requestAdapter({ powerPreference: "high-performance" }))!;
  const named = (name: string, npm: string, open: () => Promise<Library>): Source => {
    return { name, open: async () => ({ ...(await open()), version: versions[npm] }) };
  };
  const ort = async (): Promise<Library> => openOrt(await import("onnxruntime-web/webgpu"), wasmPaths);
  return [
    named(OURS, "webgpu-diffusers", async () => openOurs(await adapter())),
    named("ORT-web", "onnxruntime-web", ort),
    named("jax-js", "@jax-js/jax", openJax),
    named("tfjs", "@tensorflow/tfjs-backend-webgpu", openTfjs),
  ];
}

export function begunOf(libraries: readonly Library[], missing: Record<string, string>, software: boolean): Begun {
  const { adapterInfo, features } = libraries[0].device;
  const { vendor, architecture, device, description } = adapterInfo;
  return {
    adapter: { vendor, architecture, device, description, software },
    features: [...features].sort(),
    libraries: Object.fromEntries(libraries.map(({ name, version }) => [name, version])),
    missing,
  };
}
