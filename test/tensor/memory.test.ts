import { describe, expect, test } from "vitest";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { checkLeaks, testDevice } from "../support/gpu.js";

const double = (x: Tensor): Tensor => linearCombination([[2, x]]);

describe("scope", () => {
  checkLeaks();

  test("frees what is made inside, keeps the tensor that is returned", async () => {
    const device = await testDevice();
    let inner: Tensor | undefined;
    const y = device.scope(() => double((inner = Tensor.from([1, 2], [2], { device }))));
    expect(inner?.disposed).toBe(true);
    expect(Array.from(await y.data())).toEqual([2, 4]);
    y.dispose();
  });

  test("keeps tensors in arrays and plain objects, however deep", async () => {
    const device = await testDevice();
    const make = (value: number): Tensor => Tensor.from([value], [1], { device });
    const lost: Tensor[] = [];
    const kept = device.scope(() => {
      lost.push(make(0));
      return { a: make(1), list: [make(2), null, { b: make(3) }], n: 4, nothing: undefined };
    });
    const all = [kept.a, kept.list[0] as Tensor, (kept.list[2] as { b: Tensor }).b];
    expect(all.map(({ disposed }) => disposed)).toEqual([false, false, false]);
    expect(lost[0].disposed).toBe(true);
    for (const tensor of all) tensor.dispose();
  });

  test("a view that is returned keeps its memory", async () => {
    const device = await testDevice();
    const view = device.scope(() => double(Tensor.from([1, 2, 3, 4], [4], { device })).reshape([2, 2]));
    expect(Array.from(await view.data())).toEqual([2, 4, 6, 8]);
    view.dispose();
  });

  test("what an inner scope returns belongs to the outer one", async () => {
    const device = await testDevice();
    let passed: Tensor | undefined;
    const y = device.scope(() => {
      passed = device.scope(() => Tensor.from([1], [1], { device }));
      expect(passed.disposed).toBe(false);
      return double(passed);
    });
    expect(passed?.disposed).toBe(true);
    expect(Array.from(await y.data())).toEqual([2]);
    y.dispose();
  });

  test("tensors from outside stay, keep() takes one out", async () => {
    const device = await testDevice();
    const outside = Tensor.from([1], [1], { device });
    let own: Tensor | undefined;
    const result = device.scope(() => {
      own = device.keep(Tensor.from([2], [1], { device }));
      return outside;
    });
    expect(result).toBe(outside);
    expect([outside.disposed, own?.disposed]).toEqual([false, false]);
    outside.dispose();
    own?.dispose();
  });

  test("an exception frees everything and passes on", async () => {
    const device = await testDevice();
    const made: Tensor[] = [];
    const fail = (): never => {
      made.push(Tensor.from([1], [1], { device }));
      device.scope(() => {
        made.push(Tensor.from([2], [1], { device }));
        throw new Error("on purpose");
      });
      throw new Error("not reached");
    };
    expect(() => device.scope(fail)).toThrow("on purpose");
    expect(made.map(({ disposed }) => disposed)).toEqual([true, true]);
    const after = Tensor.from([3], [1], { device });
    expect(after.disposed).toBe(false); // the scopes are closed
    after.dispose();
  });
});

describe("pool", () => {
  checkLeaks();

  test("a block that is given back is used again", async () => {
    const device = await testDevice();
    const x = Tensor.empty(device, [1000], "float32");
    const { block } = x;
    x.dispose();
    const { buffers } = device.memoryUse;
    const y = Tensor.empty(device, [990], "float32"); // of the same bucket
    expect(y.block).toBe(block);
    expect(device.memoryUse.buffers).toBe(buffers);
    y.dispose();
  });

  test("a long chain of ops takes three buffers, not one for each op", async () => {
    const device = await testDevice();
    device.trim();
    await device.synchronize();
    const before = device.memoryUse.buffers;
    let x = Tensor.from(new Float32Array(5000).fill(1), [5000], { device });
    for (let i = 0; i < 100; i++) {
      const y = linearCombination([[i % 2 ? 2 : 0.5, x]]);
      x.dispose();
      x = y;
    }
    expect((await x.data())[4999]).toBe(1);
    x.dispose();
    expect(device.memoryUse.buffers - before).toBeLessThanOrEqual(3);
  });

  test("persistent memory stays out of the pool and is destroyed at once", async () => {
    const device = await testDevice();
    await device.flush();
    const { buffers, bytes } = device.memoryUse;
    const weight = Tensor.empty(device, [1000], "float16", { persistent: true, label: "weight" });
    expect(device.memoryUse).toEqual({ ...device.memoryUse, buffers: buffers + 1, bytes: bytes + 2000 });
    weight.dispose();
    await device.flush();
    expect(device.memoryUse).toEqual({ ...device.memoryUse, buffers, bytes });
  });

  test("trim() destroys the buffers that wait, after the work that uses them", async () => {
    const device = await testDevice();
    const x = Tensor.from([1, 2, 3], [3], { device });
    const y = double(x);
    x.dispose();
    device.trim();
    expect(Array.from(await y.data())).toEqual([2, 4, 6]);
    y.dispose();
    device.trim();
    await device.synchronize();
    expect([device.memoryUse.pooledBuffers, device.memoryUse.pooledBytes]).toEqual([0, 0]);
    const again = device.scope(() => double(double(Tensor.from([5], [1], { device }))));
    expect(Array.from(await again.data())).toEqual([20]);
    again.dispose();
  });

  test("the peak is at least what is held", async () => {
    const device = await testDevice();
    const x = Tensor.empty(device, [100_000], "float32");
    const { bytes, peakBytes } = device.memoryUse;
    expect(peakBytes).toBeGreaterThanOrEqual(bytes);
    x.dispose();
  });
});
