/** What the tests of kernels and tensors share: one device per process, a leak check, and comparison by tolerance. */
import { afterEach, beforeEach, expect } from "vitest";
import { unitsOf } from "../../src/tensor/adapter_kind.js";
import { Device, requestDevice } from "../../src/tensor/device.js";
import type { Tile } from "../../src/tensor/ops/tiling.js";
import { matrixTile } from "../../src/tensor/ops/tiling_hardware.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { rounded, sample, type FloatType, type Reference } from "../cases/data.js";

/** Set where vitest runs the tests of kernels once more, on halves as shader-f16 reads them whatever the device would choose. */
const native = globalThis.process?.env.WEBGPU_DIFFUSERS_TEST_HALVES === "native";

export const DTYPES: readonly FloatType[] = native ? ["float16"] : ["float32", "float16"];

let shared: Promise<Device> | undefined;

/** Halves as shader-f16 reads them, and the matrices that take them, whatever the device would choose. */
function nativeHalves({ adapterInfo, features }: Device): Pick<Device, "halfFormat" | "productUnits"> {
  const halfFormat = features.has("shader-f16") ? "f16" : "pack16";
  return { halfFormat, productUnits: unitsOf(adapterInfo, features, halfFormat) };
}

/**
 * Memory comes full of NaN, outside of plans: else a kernel that leaves a part of its result out would show there what lay in reused
 * memory, the right numbers of the kernel before it, and zeros in new one would hide what is read before it is written.
 */
function fillMemory(device: Device): void {
  device.take = (bytes, label) => {
    const block = Device.prototype.take.call(device, bytes, label);
    if (!device.queue.recording)
      device.queue.push({ kind: "write", block, offset: 0, data: new Uint8Array(block.buffer.size).fill(255) });
    return block;
  };
}

/** The device of this process: every pipeline is compiled once. Nobody destroys it. */
export function testDevice(): Promise<Device> {
  shared ??= requestDevice().then((device) => {
    // Made on first use and kept for good; made here, they cannot look like a leak.
    for (const dtype of ["float32", "float16", "int32"] as const) device.dummy(dtype);
    if (native) Object.assign(device, nativeHalves(device));
    fillMemory(device);
    return device;
  });
  return shared;
}

/** Buffers in use by somebody. */
async function held(): Promise<number> {
  const device = await testDevice();
  await device.flush();
  const { buffers, pooledBuffers } = device.memoryUse;
  return buffers - pooledBuffers;
}

/** Fails every test of the suite after which the shared device holds more buffers than before it. */
export function checkLeaks(): void {
  let before = 0;
  beforeEach(async () => void (before = await held()));
  afterEach(async () => expect(await held(), "buffers still held after the test").toBe(before));
}

/** Makes tensors on the shared device and disposes all of them, and what the work returns, when `work` is done. */
export async function withTensors<T>(
  work: (make: (values: Float32Array, shape: readonly number[], dtype: FloatType) => Tensor) => Promise<T>,
): Promise<T> {
  const device = await testDevice();
  const made: Tensor[] = [];
  try {
    return await work((values, shape, dtype) => {
      const tensor = Tensor.from(values, shape, { dtype, device });
      made.push(tensor);
      return tensor;
    });
  } finally {
    for (const tensor of made) tensor.dispose();
  }
}

/** Runs `work` while the shared device says of itself what `properties` say. */
export async function pretending<T>(properties: Partial<Device>, work: () => Promise<T>): Promise<T> {
  const device = await testDevice();
  const before = Object.fromEntries(Object.keys(properties).map((key) => [key, device[key as keyof Device]]));
  Object.assign(device, properties);
  try {
    return await work();
  } finally {
    Object.assign(device, before);
  }
}

/** Limits of which some are smaller. */
export const fewerLimits = (limits: GPUSupportedLimits, fewer: Readonly<Record<string, number>>): GPUSupportedLimits =>
  new Proxy(limits, { get: (of, name) => fewer[name as string] ?? of[name as keyof GPUSupportedLimits] });

/** Runs `work` on a device that says that it binds at most so many bytes (no real one may say less than 128 MiB), for Winograd's filtering too. */
export async function withLimit<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  const { limits, winograd } = await testDevice();
  const fewer = {
    limits: fewerLimits(limits, { maxStorageBufferBindingSize: bytes }),
    winograd: { ...winograd, bytes },
  };
  return pretending(fewer, work);
}

/** Names of the kernels that `work` runs, in order. */
export async function kernelsRun(work: () => void): Promise<string[]> {
  const device = await testDevice();
  const names: string[] = [];
  const original = device.run.bind(device);
  const run: Device["run"] = (call) => {
    names.push(call.kernel.name);
    original(call);
  };
  await pretending({ run }, () => Promise.resolve(work()));
  return names;
}

/** Runs `work` with the kernels that real GPUs get: CPU adapters, as tests mostly have them, choose others. */
export const asHardware = <T>(work: () => Promise<T>): Promise<T> =>
  testDevice().then((device) => pretending({ isSoftware: false, streamLanes: 0, ...nativeHalves(device) }, work));

/** Tiles of every kind of product kernel that this device can run on a dtype and so many columns, whatever it would choose. */
export async function kindsOfTile(dtype: FloatType, columns: number): Promise<Tile[]> {
  const { broadcastLanes: lanes, quadSwaps, productUnits } = await testDevice();
  const broadcast = [
    { tileM: 1, tileN4: 1 },
    { tileM: 2, tileN4: 2 },
  ].map((tile): Tile => ({ ...tile, by: "broadcast", lanes }));
  const swap = [1, 2].map((step): Tile => ({ by: "swap", lanes: 4, tileM: 2, tileN4: 2, step, textures: "xw" }));
  const panels = [1, 2].map((tileN4): Tile => ({ ...swap[tileN4 - 1], tileN4, panels: true }));
  const { matrix } = productUnits;
  const matrices =
    matrix && dtype === "float16"
      ? [
          matrixTile(productUnits, [2 * matrix.m, 2 * matrix.n, 2, 2, 4]),
          matrixTile(productUnits, [matrix.m, 4 * matrix.n, 1, 2, 4]),
        ]
      : [];
  return [
    ...matrices,
    { by: "workgroup", tileM: 2, tileN4: 2, across: 8, down: 16, step: 4 },
    // Threads do not divide what they load together.
    { by: "workgroup", tileM: 3, tileN4: 1, across: 16, down: 4, step: 2, buffers: 2, unrolled: true },
    { tileM: 4, tileN4: 2, textures: "w" },
    { tileM: 4, tileN4: 2, textures: "xw" },
    { tileM: 4, tileN4: 2, flat: false },
    ...(lanes > 0 ? broadcast : []),
    ...(quadSwaps ? [...swap, ...panels.filter(({ tileN4 }) => 16 * tileN4 <= columns)] : []),
  ];
}

/** Reads a tensor and disposes it. */
export async function take(tensor: Tensor): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}

/** Rounding to nearest of the last stored digit, relative to the number. */
export const STORAGE: Record<FloatType, number> = { float32: 2 ** -24, float16: 2 ** -11 };

/** Distance between 1 and the next float32. */
export const EPSILON = 2 ** -23;

export interface Tolerance {
  /** Of the wanted number itself: rounding on storage. */
  relative: number;
  /** Of the largest wanted number: errors of sums, which cancel. */
  ofScale?: number;
  /** In units of the result. */
  absolute?: number;
}

/** Wanted numbers at some positions: computed once, compared with several kernels. */
export interface Wanted {
  positions: number[];
  values: number[];
  size: number;
}

/** Runs a reference at all positions of a small result, at `most` of a large one. */
export function want(reference: Reference, size: number, most = Infinity): Wanted {
  const positions = sample(size, most);
  return { positions, values: positions.map(reference), size };
}

/** Fails naming the worst element with its numbers, and how many are off. */
export function expectClose(name: string, got: ArrayLike<number>, wanted: Wanted, tolerance: Tolerance): void {
  expect(got.length, `${name}: elements`).toBe(wanted.size);
  const { positions, values } = wanted;
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const base = (tolerance.ofScale ?? 0) * scale + (tolerance.absolute ?? 0);
  let worst = 0;
  let worstText = "";
  let wrong = 0;
  positions.forEach((position, i) => {
    const allowed = base + tolerance.relative * Math.abs(values[i]);
    const off = Math.abs(got[position] - values[i]);
    if (off <= allowed) return;
    wrong++;
    if (off / allowed <= worst) return;
    worst = off / allowed;
    worstText = `at ${position}: got ${got[position]}, want ${values[i]}, off by ${off.toExponential(2)}, allowed ${allowed.toExponential(2)}`;
  });
  if (wrong > 0)
    throw new Error(`${name}: ${wrong} of ${positions.length} are wrong; the worst ${worstText || "is NaN"}`);
}

/** Inputs as the tensor will hold them. */
export const roundAll = <T extends Record<string, Float32Array | undefined>>(data: T, dtype: FloatType): T =>
  Object.fromEntries(Object.entries(data).map(([key, values]) => [key, values && rounded(values, dtype)])) as T;
