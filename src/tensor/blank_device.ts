/** A device without memory, to learn how much of it some work takes. */
import { Device } from "./device.js";

/**
 * Everything works on it as on `device`, by the same kernels and under the same limits, but nothing is allocated, compiled or computed:
 * what is read back is zeros. Its `memoryUse` is what `device` would hold.
 */
export function blankDevice({ adapterInfo, features, limits, tunings }: Device): Device {
  const gpu = blankGPU(features, limits) as unknown as GPUDevice;
  return Object.assign(new Device(gpu, adapterInfo, tunings), { isBlank: true });
}

const ignore = (): void => undefined;
const nothing = (): object => ({});
const settled = (): Promise<null> => Promise.resolve(null);

/** What the library calls of WebGPU. */
const blankGPU = (features: ReadonlySet<string>, limits: GPUSupportedLimits): object => ({
  features,
  limits,
  lost: new Promise(ignore), // never
  queue: { writeBuffer: ignore, submit: ignore, onSubmittedWorkDone: settled },
  createBuffer: ({ size }: GPUBufferDescriptor) => ({
    getMappedRange: () => new ArrayBuffer(size),
    mapAsync: settled,
    unmap: ignore,
    destroy: ignore,
  }),
  createTexture: () => ({ createView: nothing, destroy: ignore }),
  createBindGroupLayout: nothing,
  createBindGroup: nothing,
  createPipelineLayout: nothing,
  createShaderModule: nothing,
  createComputePipelineAsync: async () => ({}),
  createCommandEncoder: () => ({
    beginComputePass: () => ({
      setPipeline: ignore,
      setBindGroup: ignore,
      dispatchWorkgroups: ignore,
      end: ignore,
    }),
    copyBufferToBuffer: ignore,
    copyBufferToTexture: ignore,
    finish: nothing,
  }),
  pushErrorScope: ignore,
  popErrorScope: settled,
  addEventListener: ignore,
  destroy: ignore,
});
