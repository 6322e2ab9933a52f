import { describe, expect, test } from "vitest";
import { OutOfMemoryError } from "../../src/tensor/errors.js";
import { conv2d } from "../../src/tensor/ops/conv2d.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { Plan } from "../../src/tensor/plan.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { checkLeaks, take, testDevice } from "../support/gpu.js";

const double = (x: Tensor): Tensor => linearCombination([[2, x]]);
const failure = new Error("something of somebody else");

/** What a wait rejects with that meets `failure`, while what `record` makes is recorded and not done. */
async function failAround<T>(record: () => T): Promise<T> {
  const device = await testDevice();
  const waiting = device.synchronize();
  const made = record();
  device.queue.fail(failure);
  await expect(waiting).rejects.toBe(failure);
  return made;
}

describe("an error that another call hears of", () => {
  checkLeaks();

  test("what was done stays, what was under way is lost, and so is what would be made of it", async () => {
    const device = await testDevice();
    const x = Tensor.from([1, 2], [2], { device });
    await device.synchronize();
    const y = await failAround(() => double(x));
    await expect(y.data()).rejects.toBe(failure);
    expect(() => device.scope(() => double(y))).toThrow(failure);
    await device.synchronize();
    expect(Array.from(await take(double(x)))).toEqual([2, 4]);
    for (const tensor of [x, y]) tensor.dispose();
  });

  test("everybody who waits meanwhile hears of it, who comes later does not", async () => {
    const device = await testDevice();
    const x = Tensor.from([1], [1], { device });
    await device.synchronize();
    const waits = [device.synchronize(), device.flush(), x.data()];
    device.queue.fail(failure);
    for (const wait of waits) await expect(wait).rejects.toBe(failure);
    expect(Array.from(await take(x))).toEqual([1]);
  });

  test("that memory is missing is what is told, and what another error took with it stays lost", async () => {
    const device = await testDevice();
    const x = Tensor.from([1, 2], [2], { device });
    await device.synchronize();
    const y = double(x);
    await device.flush(); // submitted, but not known to be done
    const missing = new OutOfMemoryError(1, 1, "a test");
    device.queue.fail(failure);
    device.queue.fail(missing);
    await expect(device.flush()).rejects.toBe(missing);
    await expect(y.data()).rejects.toBe(missing);
    for (const tensor of [x, y]) tensor.dispose();
  });

  test("the memory of what was lost serves again", async () => {
    const device = await testDevice();
    const lost = await failAround(() => Tensor.from([1, 2, 3], [3], { device }));
    const { block } = lost;
    lost.dispose();
    const next = Tensor.from([4, 5, 6], [3], { device });
    expect(next.block).toBe(block);
    expect(Array.from(await take(next))).toEqual([4, 5, 6]);
  });

  test("what is kept with a weight is made again", async () => {
    const device = await testDevice();
    const ones = (...shape: number[]): Tensor =>
      Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)).fill(1), shape, { device });
    // Three channels: the filled-up weight is kept with it.
    const [x, w, bias] = [ones(1, 1, 1, 4), ones(3, 3, 4, 3), ones(3)];
    await device.synchronize();
    const draw = (): Tensor => conv2d(x, w, bias, { padding: 1 });
    (await failAround(draw)).dispose();
    expect(Array.from(await take(draw()))).toEqual([5, 5, 5]);
    for (const tensor of [x, w, bias]) tensor.dispose();
  });

  test("a plan that was recorded before is not replayed", async () => {
    const device = await testDevice();
    const x = Tensor.from([1, 2, 3, 4], [4], { device });
    const plan = new Plan(device, [x], double);
    expect(Array.from(await plan.run([x]).data())).toEqual([2, 4, 6, 8]);
    await failAround(() => undefined);
    expect(() => plan.run([x])).toThrow(failure);
    plan.dispose();
    x.dispose();
  });

  test("a kernel that does not compile takes what is recorded after it, nothing before", async () => {
    const device = await testDevice();
    const x = Tensor.from([3], [1], { device });
    const broken = { name: "uncompilable", params: {}, bindings: () => ["write"] as const, source: () => "fn main( {" };
    const y = Tensor.empty(device, [1], "float32");
    device.run({ kernel: broken, variant: {}, values: {}, buffers: [y], grid: [1] });
    await expect(device.flush()).rejects.toThrow("uncompilable {}: the kernel does not compile");
    await expect(y.data()).rejects.toThrow("uncompilable {}: the kernel does not compile");
    expect(Array.from(await take(x))).toEqual([3]);
    y.dispose();
  });
});
