import { describe, expect, test } from "vitest";
import type { Kernel } from "../../kernels/wgsl.js";
import { ensureDevice, requestDevice, type Device } from "../../src/tensor/device.js";
import { DeviceLostError, GPUValidationError } from "../../src/tensor/errors.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { MOST_BIND_GROUPS } from "../../src/tensor/pipeline_cache.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { forgetTunings, tune } from "../../src/tensor/tuning/tune.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { inspected } from "../support/inspected.js";

/** y[0] = a x[0] + b, with the params given. */
const affine: Kernel<{ variant: string }> = {
  name: "affine",
  params: { a: "f32", b: "f32", n: "u32" },
  bindings: () => ["read", "write"],
  source: ({ variant }) => `// ${variant}
struct Params { a: f32, b: f32, n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(1) fn main() { y[0] = params.a * x[0] + params.b; }`,
};
const broken: Kernel = {
  ...affine,
  name: "broken",
  bindings: () => ["read", "write"],
  source: () => "// one\n// two\nfn main( {\n",
};

const run = (device: Device, variant: string, values: Record<string, number>, x: Tensor, y: Tensor): void =>
  device.run({ kernel: affine, variant: { variant }, values, buffers: [x, y], grid: [1] });

describe("Device.run", () => {
  checkLeaks();

  test("a kernel that does not compile rejects with its name, line and text; the device works on", async () => {
    const device = await testDevice();
    const [x, y] = [Tensor.from([1], [1], { device }), Tensor.empty(device, [1], "float32")];
    device.run({ kernel: broken, variant: {}, values: { a: 1, b: 0, n: 0 }, buffers: [x, y], grid: [1] });
    const error = await device.flush().then(
      () => null,
      (thrown: Error) => thrown,
    );
    expect(error).toBeInstanceOf(GPUValidationError);
    expect(error?.message).toContain("broken {}: the kernel does not compile");
    expect(error?.message).toMatch(/line 3:\d+ error: [^]*\n\s+fn main\( \{/);
    run(device, "after an error", { a: 3, b: 1, n: 0 }, x, y);
    expect((await y.data())[0]).toBe(4);
    x.dispose();
    y.dispose();
  });

  test("missing, unknown and fractional params are errors that name kernel and field", async () => {
    const device = await testDevice();
    const [x, y] = [Tensor.from([1], [1], { device }), Tensor.empty(device, [1], "float32")];
    expect(() => run(device, "params", { a: 1, n: 0 }, x, y)).toThrow(/affine .*: the param "b" is missing/);
    expect(() => run(device, "params", { a: 1, b: 1, n: 0, c: 2 }, x, y)).toThrow(/affine .*: unknown params c/);
    expect(() => run(device, "params", { a: 1, b: 1, n: 0.5 }, x, y)).toThrow(
      /affine .*: the param "n" is an u32, got 0.5/,
    );
    run(device, "params", { a: 1, b: 1, n: 0 }, x, y);
    expect((await y.data())[0]).toBe(2);
    x.dispose();
    y.dispose();
  });

  test("a validation error of WebGPU rejects the next wait, once", async () => {
    const device = await testDevice();
    const x = Tensor.from([1], [1], { device });
    run(device, "validation", { a: 1, b: 0, n: 0 }, x, x); // one buffer, read and written
    await expect(device.synchronize()).rejects.toThrow(GPUValidationError);
    await device.synchronize();
    x.dispose();
  });

  test("bind groups are kept up to a limit, beyond which commands still get theirs", async () => {
    const device = await testDevice();
    const { pipelines } = device.queue;
    const tensors = Array.from({ length: 48 }, (_, i) => Tensor.from([i], [1], { device }));
    let most = 0;
    for (const x of tensors) {
      // Each to all, itself excepted: 48 x 47 groups, more than are kept.
      for (const y of tensors) if (x !== y) run(device, "groups", { a: 1, b: 1, n: 0 }, x, y);
      await device.flush();
      most = Math.max(most, pipelines.bindGroups);
    }
    expect(48 * 47).toBeGreaterThan(MOST_BIND_GROUPS);
    expect(most).toBeGreaterThan(48);
    expect(most).toBeLessThanOrEqual(MOST_BIND_GROUPS);
    // The first writes 1 to all others; each of the next writes its own, raised by one, to all others.
    expect((await tensors[0].data())[0]).toBe(48);
    for (const tensor of tensors) tensor.dispose();
  });

  test("commands keep their order while their pipelines are still being compiled", async () => {
    const device = await testDevice();
    const x = Tensor.from([1], [1], { device });
    const y = Tensor.empty(device, [1], "float32");
    let wanted = 1;
    let from = x;
    let to = y;
    for (let i = 0; i < 300; i++) {
      // Each third command needs a pipeline that nobody has compiled.
      run(device, i % 3 === 0 ? `order ${i % 60}` : "order", { a: i % 5 === 4 ? 0.125 : 2, b: i % 7, n: i }, from, to);
      wanted = wanted * (i % 5 === 4 ? 0.125 : 2) + (i % 7);
      [from, to] = [to, from];
    }
    expect((await from.data())[0] / wanted).toBeCloseTo(1, 5);
    x.dispose();
    y.dispose();
  });

  test("writes, copies and dispatches keep their order", async () => {
    const device = await testDevice();
    const reads: Promise<Float32Array | Int32Array>[] = [];
    for (let i = 0; i < 4; i++) {
      const part = device.scope(() => linearCombination([[10, Tensor.from([i, i + 1], [2], { device })]]));
      reads.push(part.data());
      part.dispose(); // the next round reuses its memory
    }
    const values = (await Promise.all(reads)).map((read) => Array.from(read));
    expect(values).toEqual([
      [0, 10],
      [10, 20],
      [20, 30],
      [30, 40],
    ]);
  });

  test("two reads at once", async () => {
    const device = await testDevice();
    const [x, y] = [Tensor.from([1, 2], [2], { device }), Tensor.from([3], [1], { device })];
    const [a, b] = await Promise.all([x.data(), y.data()]);
    expect([...a, ...b]).toEqual([1, 2, 3]);
    x.dispose();
    y.dispose();
  });
});

describe("requestDevice", () => {
  test("takes limits and leaves features out", async () => {
    const limits = { maxStorageBuffersPerShaderStage: 8, maxStorageBufferBindingSize: 2 ** 27 };
    const device = await requestDevice({ limits, disableFeatures: ["shader-f16", "subgroups"] });
    expect(device.features.has("shader-f16")).toBe(false);
    expect(device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
    const x = Tensor.from([1, 2, 3], [3], { device, dtype: "float16" });
    const many = Array.from({ length: 7 }, () => [1, x] as const);
    expect(Array.from(await linearCombination(many).data())).toEqual([7, 14, 21]);
    device.destroy();
  });

  test("a tensor larger than a binding is an error that says so", async () => {
    const device = await requestDevice({ limits: { maxStorageBufferBindingSize: 2 ** 27 } });
    if (device.limits.maxBufferSize > 2 ** 27 + 16) {
      const x = Tensor.empty(device, [2 ** 25 + 4], "float32");
      expect(() => linearCombination([[1, x]])).toThrow(
        /linear_combination: .* needs a binding of 134217744 bytes, got .*134217728/,
      );
    }
    device.destroy();
  });

  test("the adapter's name and limits are readable", async () => {
    const device = await testDevice();
    expect(typeof device.adapterInfo.description).toBe("string");
    expect(device.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
  });

  test("prints the adapter's name, not its own insides", async () => {
    const device = await requestDevice();
    const { description, device: name, vendor, architecture } = device.adapterInfo;
    const title = description || name || `${vendor} ${architecture}`.trim() || "an adapter without a name"; // in Firefox
    expect(`${device}`).toBe(`Device(${title})`);
    expect(inspected(device)).toBe(`Device(${title})`);
    device.destroy();
    expect(String(device)).toBe(`Device(${title}, lost)`);
  });
});

describe("what is no device", () => {
  const REFUSED = 'device must be a Device from requestDevice() or devices(), got "cuda"';
  const device = "cuda" as unknown as Device;

  test("is refused wherever one is taken", async () => {
    expect(() => Tensor.from([1], [1], { device })).toThrow(REFUSED);
    await expect(ensureDevice(device)).rejects.toThrow(REFUSED);
    await expect(tune(() => undefined, { device })).rejects.toThrow(REFUSED);
    await expect(forgetTunings(device)).rejects.toThrow(REFUSED);
  });

  test("null is as nothing to loaders", async () => {
    expect(await ensureDevice(null)).toBe(await ensureDevice());
  });
});

describe("a destroyed device", () => {
  test("rejects every later call with DeviceLostError", async () => {
    const device = await requestDevice();
    const x = Tensor.from([1, 2], [2], { device });
    await device.synchronize();
    device.destroy();
    device.destroy();
    await expect(device.flush()).rejects.toThrow(DeviceLostError);
    await expect(device.synchronize()).rejects.toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow(/The GPU device was lost .*requestDevice\(\)/);
    expect(() => Tensor.from([1], [1], { device })).toThrow(DeviceLostError);
    expect(() => linearCombination([[1, x]])).toThrow(DeviceLostError);
    x.dispose();
    device.trim();
    expect((await device.lost).reason).toBe("destroyed");
  });

  test("rejects the reads that are under way, unless they were done before", async () => {
    for (const wait of [false, true]) {
      const device = await requestDevice();
      const x = Tensor.from(new Float32Array(1000), [1000], { device });
      const reads = Promise.allSettled([x.data(), linearCombination([[1, x]]).data()]);
      if (wait) await device.flush();
      device.destroy();
      for (const read of await reads)
        if (read.status === "rejected") expect(read.reason).toBeInstanceOf(DeviceLostError);
        else expect(wait).toBe(true);
    }
  });

  test("holds no memory", async () => {
    const device = await requestDevice();
    Tensor.from(new Float32Array(1000), [1000], { device });
    device.destroy();
    expect([device.memoryUse.buffers, device.memoryUse.bytes]).toEqual([0, 0]);
  });

  test("is no longer the default", async () => {
    const shared = await testDevice();
    const device = await requestDevice();
    device.destroy();
    const x = Tensor.from([1], [1], { device: shared });
    expect(Array.from(await x.data())).toEqual([1]);
    x.dispose();
  });
});
