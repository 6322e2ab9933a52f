/** onnxruntime-web's WebGPU execution provider, on one-op models. Nothing may fall back to the CPU. */
import type { Tensor as OrtTensor } from "onnxruntime-web/webgpu";
import type { Library, Way } from "./library.js";
import { encodeModel } from "./onnx.js";
import { oneOpModels, type OneOp } from "./onnx_models.js";

type Ort = typeof import("onnxruntime-web/webgpu");

/** @param wasmPaths folder of its .wasm files, for pages that cannot find them beside the bundle */
export async function openOrt(ort: Ort, wasmPaths?: string): Promise<Library> {
  ort.env.wasm.numThreads = 1;
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  ort.env.logLevel = "error";
  // The first session makes the device, and ORT destroys it with the last: so this one stays.
  const [inputs, outputs] = ["x", "y"].map((name) => [{ name, shape: [1] }]);
  const first = encodeModel({
    nodes: [{ op: "Abs", inputs: ["x"], outputs: ["y"] }],
    inputs,
    outputs,
    initializers: [],
  });
  const held = await ort.InferenceSession.create(first, OPTIONS);
  const device = await ort.env.webgpu.device;
  return {
    name: "ORT-web",
    version: "",
    device,
    ways: async (problem) => Promise.all(oneOpModels(problem).map((item) => wayOf(ort, device, item))),
    flush: () => undefined, // run() submits
    close: () => held.release(),
  };
}

const OPTIONS = {
  executionProviders: [{ name: "webgpu", preferredLayout: "NHWC" }],
  preferredOutputLocation: "gpu-buffer",
  extra: { session: { disable_cpu_ep_fallback: "1" } },
} as const;

async function wayOf(ort: Ort, device: GPUDevice, { name, model, feeds, back = (y) => y }: OneOp): Promise<Way> {
  // Made on the first run, so that what a model cannot do is that way's failure only.
  let made: ReturnType<Ort["InferenceSession"]["create"]> | undefined;
  const buffers = feeds.map(({ values }) => upload(device, values as Float32Array));
  const inputs = Object.fromEntries(
    feeds.map(({ name, shape }, i) => [
      name,
      ort.Tensor.fromGpuBuffer(buffers[i], { dataType: "float32", dims: [...shape] }),
    ]),
  );
  const call = async (): Promise<OrtTensor> => {
    made ??= ort.InferenceSession.create(encodeModel(model), OPTIONS);
    return (await (await made).run(inputs)).y;
  };
  return {
    name,
    async result() {
      const y = await call();
      try {
        return back(await y.getData());
      } finally {
        y.dispose();
      }
    },
    run: async () => (await call()).dispose(),
    async dispose() {
      const session = await made?.catch(() => undefined);
      await session?.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
}

function upload(device: GPUDevice, values: Float32Array): GPUBuffer {
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const size = Math.ceil(values.byteLength / 16) * 16;
  // eslint-disable-next-line no-restricted-syntax -- on ORT's device, for ORT
  const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  return buffer;
}
