/** A stand-in for a device on which a model runs without memory and without work, to learn which kernels it needs. */
import type { Device, Run } from "./device.js";
import type { DType } from "./dtype.js";
import type { Block } from "./memory.js";
import { Reordered } from "./reordered.js";
import { Tensor } from "./tensor.js";

/**
 * Whatever is run on it only starts the compilation of its kernel on `device`, which goes on in the background. Tensors
 * made on it have no memory and cannot be read. Scopes are those of `device`.
 */
export function dryDevice(device: Device): Device {
  const block = (bytes: number): Block => ({
    id: 0,
    buffer: null as unknown as GPUBuffer,
    bytes,
    pooled: true,
    version: 0,
  });
  const ignore = (): void => undefined;
  const { pipelines, faults } = device.queue;
  const own: Record<string | symbol, unknown> = {
    take: block,
    memory: { create: block },
    queue: { pipelines, faults, push: ignore },
    run: <V>({ kernel, variant, buffers }: Run<V>): void => {
      pipelines.get(kernel, variant);
      for (const buffer of buffers) if (buffer instanceof Reordered) buffer.compute(dry).dispose();
    },
    release: ignore,
    // The device's own would be memory that nobody has asked for yet.
    dummy: (dtype: DType) => Tensor.empty(dry, [4], dtype),
    trim: ignore,
    flopsBudget: Infinity, // one run per op, however long it would take
  };
  const dry = new Proxy(device, {
    get(target, key) {
      if (key in own) return own[key];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
  return dry;
}
