import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { requestDevice } from "../../src/index.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test("waiting for a device, however often, leaves nothing behind", async () => {
  const device = await requestDevice();
  const heapAfter = async (waits: number): Promise<number> => {
    for (let i = 0; i < waits; i++) await device.synchronize();
    // Promises that were settled in this turn are let go of in the next one.
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      collect();
    }
    return process.memoryUsage().heapUsed;
  };
  await heapAfter(500);
  const before = await heapAfter(500);
  const waits = 4000;
  // A reaction kept for each would be some hundred bytes.
  expect(((await heapAfter(waits)) - before) / waits).toBeLessThan(50);
  device.destroy();
});
