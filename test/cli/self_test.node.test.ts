import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRight, selfTest, type SelfTestResult } from "../../src/cli/self_test.js";
import { requestDevice, type Device } from "../../src/index.js";
import { runCLI } from "./run_cli.js";

const never = new AbortController().signal;

describe("info --self-test", () => {
  let device: Device;
  beforeAll(async () => void (device = await requestDevice()));
  afterAll(() => device.destroy());

  const first = async (signal = never): Promise<SelfTestResult> => {
    for await (const result of selfTest(device, signal)) return result;
    throw new Error("no result");
  };

  test("finds all right on the adapters that are tested, and says so", async () => {
    const { code, stdout, stderr } = await runCLI(["info", "--self-test"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const lines = stdout.split("\n").filter((line) => line.startsWith("self-test"));
    expect(lines).toHaveLength(8);
    for (const line of lines) expect(line).toMatch(/^self-test float(32|16) [A-Za-z ]+: +right, /);
  }, 240_000);

  test("finds a fast kernel that leaves its work undone, and one that gives NaN", async () => {
    const { run } = device;
    const broken = (fill: number | null): Device["run"] =>
      function (this: Device, work) {
        const { by } = work.variant as { by?: string };
        if (work.kernel.name !== "matmul" || by === "plain") return run.call(this, work);
        const [, , y] = work.buffers as unknown as { block: never; bytes: number }[];
        const data = new Float32Array(y.bytes / 4).fill(fill ?? 0);
        this.queue.push({ kind: "write", block: y.block, offset: 0, data });
      };
    try {
      for (const fill of [null, NaN]) {
        device.run = broken(fill) as Device["run"];
        expect(isRight(await first()), `products of ${fill ?? 0}`).toBe(false);
      }
    } finally {
      device.run = run;
    }
    expect(isRight(await first())).toBe(true);
  });

  test("stops when it is told to", async () => {
    await expect(first(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});
