// Memory that runs out at any allocation, on Dawn's null backend: it computes nothing, and has 512 MiB.
import { create, globals } from "webgpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  OutOfMemoryError,
  requestDevice,
  type Device,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";

/** Two buffers of that size are all the memory that there is. */
const HALF = 2 ** 28;

const gpu = create(["backend=null"]);
let device: Device;
/** Allocations since it was set to 0; from number `failing` on they find no memory. */
let [count, failing] = [0, Infinity];

/** What is read back is zeros, which are finite; that backend copies nothing there, and whatever lay in the memory may be NaN. */
function readZeros(buffer: GPUBuffer): GPUBuffer {
  if ((buffer.usage & GPUBufferUsage.MAP_READ) === 0) return buffer;
  const read = buffer.getMappedRange.bind(buffer);
  buffer.getMappedRange = (...range) => {
    const bytes = read(...range);
    new Uint8Array(bytes).fill(0);
    return bytes;
  };
  return buffer;
}

/** Takes half of the memory, and asks for the other half: with anything else in it there is too little. */
function failInTime(own: GPUDevice): void {
  const create = own.createBuffer.bind(own);
  const allocate: GPUDevice["createBuffer"] = (descriptor) => readZeros(create(descriptor));
  own.createBuffer = (descriptor) => {
    if (count++ < failing) return allocate(descriptor);
    const filler = allocate({ size: HALF, usage: GPUBufferUsage.STORAGE });
    const made = allocate({ ...descriptor, size: HALF });
    filler.destroy();
    return made;
  };
}

const load = (): Promise<StableDiffusionPipeline> =>
  DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(fixturePath("models/repos/sd15"), { device });

/** Live buffers and bytes when nothing is under way. */
async function use(): Promise<[number, number]> {
  await device.synchronize();
  const { buffers, bytes } = device.memoryUse;
  return [buffers, bytes];
}

/** Allocations that `work` does. */
async function allocations(work: () => Promise<void>): Promise<number> {
  count = 0;
  await work();
  return count;
}

/** Which of so many allocations are tried: the first and last ones, and of the others, buffers of weights most, some. */
const points = (all: number): number[] =>
  Array.from({ length: all }, (_, i) => i).filter((i) => i < 12 || i >= all - 4 || i % 37 === 0);

describe("memory that runs out", () => {
  beforeAll(async () => {
    Object.assign(globalThis, globals);
    const adapter = (await gpu.requestAdapter())!;
    const { requestDevice: request } = adapter;
    adapter.requestDevice = async (descriptor) => {
      const own = await request.call(adapter, descriptor);
      failInTime(own);
      return own;
    };
    device = await requestDevice({ adapter });
    for (const dtype of ["float32", "int32"] as const) device.dummy(dtype); // kept for good
  });
  afterAll(() => device.destroy());

  test("while a pipeline loads: at each allocation a typed error, nothing is kept, and the next load works", async () => {
    const all = await allocations(async () => (await load()).dispose());
    expect(all).toBeGreaterThan(10);
    const before = await use();
    for (const i of points(all)) {
      [count, failing] = [0, i];
      await expect(load(), `allocation ${i}`).rejects.toBeInstanceOf(OutOfMemoryError);
      failing = Infinity;
      (await load()).dispose();
      expect(await use(), `after allocation ${i}`).toEqual(before);
    }
  });

  test("while a picture is drawn: the same, and the next picture is drawn", async () => {
    const pipeline = await load();
    pipeline.setProgressBarConfig({ disable: true });
    const draw = (): Promise<unknown> => pipeline("a cat", { numInferenceSteps: 2, height: 16, width: 16 });
    await draw();
    const before = await use();
    const all = await allocations(async () => void (await draw()));
    expect(all).toBeGreaterThan(10);
    for (const i of points(all)) {
      [count, failing] = [0, i];
      await expect(draw(), `allocation ${i}`).rejects.toBeInstanceOf(OutOfMemoryError);
      failing = Infinity;
      await draw();
      expect(await use(), `after allocation ${i}`).toEqual(before);
    }
    pipeline.dispose();
  });
});
