import { describe, expect, test } from "vitest";
import type { DType } from "../../src/tensor/dtype.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { matmul } from "../../src/tensor/ops/matmul.js";
import { groupNorm } from "../../src/tensor/ops/norm.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { Random } from "../cases/data.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { inspected } from "../support/inspected.js";

const double = (x: Tensor): Tensor => linearCombination([[2, x]]);

describe("Tensor", () => {
  checkLeaks();

  for (const dtype of ["float32", "float16", "int32"] as DType[])
    test(`${dtype} numbers come back as they went in`, async () => {
      const device = await testDevice();
      for (const shape of [[1], [3], [], [2, 3, 5], [0, 4], [1025]]) {
        const size = shape.reduce((a, b) => a * b, 1);
        const values = Array.from({ length: size }, (_, i) => (i % 2 ? -i : i));
        const tensor = Tensor.from(values, shape, { dtype, device });
        expect([tensor.dtype, tensor.size, tensor.shape]).toEqual([dtype, size, shape]);
        const data = await tensor.data();
        expect(data).toBeInstanceOf(dtype === "int32" ? Int32Array : Float32Array);
        expect(Array.from(data)).toEqual(values.map((value) => value + 0));
        tensor.dispose();
      }
    });

  test("the dtype defaults to that of the array", async () => {
    const device = await testDevice();
    const made = [new Int32Array(4), new Float32Array(4), [0, 0, 0, 0]].map((data) =>
      Tensor.from(data, [4], { device }),
    );
    expect(made.map(({ dtype }) => dtype)).toEqual(["int32", "float32", "float32"]);
    for (const tensor of made) tensor.dispose();
  });

  test("the extremes of each dtype", async () => {
    const device = await testDevice();
    const ints = Tensor.from(Int32Array.of(-(2 ** 31), 2 ** 31 - 1), [2], { device });
    expect(Array.from(await ints.data())).toEqual([-(2 ** 31), 2 ** 31 - 1]);
    const halves = Tensor.from([65504, 2 ** -24, 1 + 2 ** -11, 1e6], [4], { dtype: "float16", device });
    expect(Array.from(await halves.data())).toEqual([65504, 2 ** -24, 1, Infinity]);
    ints.dispose();
    halves.dispose();
  });

  test("a change of the array after Tensor.from changes nothing", async () => {
    const device = await testDevice();
    const values = Float32Array.of(1, 2, 3, 4);
    const tensor = Tensor.from(values, [4], { device });
    values.fill(9);
    expect(Array.from(await tensor.data())).toEqual([1, 2, 3, 4]);
    tensor.dispose();
  });

  test("reshape shares the memory, which lives until the last view is disposed", async () => {
    const device = await testDevice();
    const { buffers } = device.memoryUse;
    const x = Tensor.from([1, 2, 3, 4, 5, 6], [2, 3], { device });
    const view = x.reshape([3, 2]);
    expect(view.block).toBe(x.block);
    x.dispose();
    x.dispose();
    expect(Array.from(await view.data())).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => x.reshape([6])).toThrow("Tensor [2, 3]: used after dispose()");
    const other = view.reshapeOwned([6]);
    expect(view.disposed).toBe(true);
    expect(Array.from(await other.data())).toEqual([1, 2, 3, 4, 5, 6]);
    other.dispose();
    expect(device.memoryUse.buffers).toBeLessThanOrEqual(buffers + 1);
  });

  test("work recorded before dispose() still sees the numbers", async () => {
    const device = await testDevice();
    const x = Tensor.from([1, 2, 3], [3], { device });
    const y = double(x);
    x.dispose();
    const z = Tensor.from([7, 7, 7], [3], { device }); // may take the block of x
    expect(Array.from(await y.data())).toEqual([2, 4, 6]);
    y.dispose();
    z.dispose();
  });

  test("use after dispose() is an error", async () => {
    const device = await testDevice();
    const x = Tensor.from([1], [1], { device });
    x.dispose();
    expect(x.disposed).toBe(true);
    await expect(x.data()).rejects.toThrow("Tensor [1]: used after dispose()");
    expect(() => device.scope(() => double(x))).toThrow("Tensor [1]: used after dispose()");
  });

  test("sizes that do not fit are errors with their values", async () => {
    const device = await testDevice();
    expect(() => Tensor.from([1, 2], [3], { device })).toThrow("Tensor.from: shape [3] holds 3 numbers, got 2");
    expect(() => Tensor.from([1], [-1, -1], { device })).toThrow("sizes must be non-negative integers, got [-1, -1]");
    expect(() => Tensor.from([1, 2, 3], [1.5, 2], { device })).toThrow("got [1.5, 2]");
    const x = Tensor.from([1, 2, 3], [3], { device });
    expect(() => x.reshape([4])).toThrow("reshape: [3] does not hold as many elements as [4]");
    expect(() => x.reshape([-1, -3])).toThrow(/\[-1, -3\]/);
    expect(() => x.reshape([NaN])).toThrow(/NaN/);
    x.dispose();
    const most = device.limits.maxBufferSize;
    expect(() => Tensor.empty(device, [most], "float32")).toThrow(
      /needs a buffer of \d+ bytes, got an adapter whose largest/,
    );
    expect(() => Tensor.empty(device, [2 ** 31, 2 ** 31], "float16")).toThrow(/needs a buffer|non-negative/);
  });

  test("prints dtype and shape, also in Node's console", async () => {
    const x = Tensor.from([1, 2], [1, 2], { device: await testDevice() });
    expect(String(x)).toBe("Tensor(float32 [1, 2])");
    expect(inspected(x)).toBe("Tensor(float32 [1, 2])");
    x.dispose();
    expect(inspected(x)).toBe("Tensor(float32 [1, 2])");
  });

  test("three runs give identical bytes", async () => {
    const device = await testDevice();
    const random = new Random(5);
    const [x, w, ones] = [random.normal(40 * 64), random.normal(64 * 96), random.normal(96)];
    const runs: Float32Array[] = [];
    for (let i = 0; i < 3; i++) {
      const y = device.scope(() => {
        const product = matmul(Tensor.from(x, [40, 64], { device }), Tensor.from(w, [64, 96], { device }));
        const scale = Tensor.from(ones, [96], { device });
        return groupNorm(product.reshape([1, 40, 96]), scale, scale, { groups: 32, eps: 1e-5, silu: true });
      });
      runs.push((await y.data()) as Float32Array);
      y.dispose();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
  });
});
