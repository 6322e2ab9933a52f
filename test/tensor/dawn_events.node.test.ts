// While the GPU works Node's event loop is free: Dawn's binding would ask for events without a pause.
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Tensor } from "../../src/tensor/tensor.js";
import { matmul } from "../../src/tensor/ops/matmul.js";
import * as gpu from "../support/gpu.js";

const SIZE = 512;

/** Records products until they take the device some 300 ms. */
async function work(): Promise<() => void> {
  const device = await gpu.testDevice();
  const once = (count: number): void =>
    device.scope(() => {
      const [x, w] = [0, 1].map(() => Tensor.empty(device, [SIZE, SIZE], "float32"));
      for (let i = 0; i < count; i++) matmul(x, w).dispose();
    });
  // A GPU does hundreds in the time that a wait for it takes at least.
  for (let count = 4; ; count *= 4) {
    once(1);
    await device.synchronize();
    const start = performance.now();
    once(count);
    await device.synchronize();
    const each = (performance.now() - start) / count;
    if (each * count > 20) return () => once(Math.ceil(300 / each));
  }
}

/** The share of the time in which the event loop was not asleep while `wait` lasted. */
async function utilization(wait: () => Promise<unknown>): Promise<number> {
  const before = performance.eventLoopUtilization();
  await wait();
  return performance.eventLoopUtilization(before).utilization;
}

test("waiting for the GPU leaves the event loop asleep", async () => {
  const device = await gpu.testDevice();
  const record = await work();
  record();
  await device.flush();
  const used = await utilization(() => device.synchronize());
  expect(used).toBeLessThan(0.5);
});

test("setImmediate is Node's own, during a wait and after it", async () => {
  const own = globalThis.setImmediate;
  const device = await gpu.testDevice();
  const record = await work();
  record();
  const waiting = device.synchronize();
  for (let i = 0; i < 5; i++) {
    expect(globalThis.setImmediate).toBe(own);
    await sleep(2);
  }
  await waiting.then(() => expect(globalThis.setImmediate).toBe(own));
});
