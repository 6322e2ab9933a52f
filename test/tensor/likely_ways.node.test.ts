import { describe, expect, test } from "vitest";
import type { Device } from "../../src/tensor/device.js";
import { likelyWays } from "../../src/tensor/tuning/likely_ways.js";
import { keyOf, type Problem, type Way } from "../../src/tensor/tuning/problem.js";
import * as gpu from "../support/gpu.js";
import { ATTENTION, CONV2D, DOUBLED, expectRight, FINISH, MATMUL, NOTHING } from "../support/tuning.js";

// In Node only: CPU adapters take seconds to compile these kernels, and SwiftShader in Chrome longest. So each tile is tried in the
// smallest kernel, a matmul's, and in others the first of each kind.
const OWN: Problem[] = [
  MATMUL,
  DOUBLED,
  { ...MATMUL, n: 128, gated: "gelu", finish: NOTHING },
  { ...CONV2D, x: [1, 9, 9, 32], w: [3, 3, 32, 64], out: [4, 4], stride: 2, edges: [0, 0, 0, 0], finish: FINISH },
  { ...CONV2D, shortcut: [64, 32] },
  { ...ATTENTION, dtype: "float16" },
  { ...ATTENTION, queries: 40, keys: 40, headSize: 64, causal: true },
];
const ON_GPUS: [of: Problem, kinds: string[]][] = [
  [{ ...MATMUL, k: 256 }, ["1 slice", "slices"]],
  [DOUBLED, ["1 slice", "phases", "slices", "winograd"]],
  [ATTENTION, ["flash", "scores"]],
];

const kindOf = ({ by, winograd, phases, slices = 1 }: Way): string =>
  by ?? (winograd ? "winograd" : phases ? "phases" : slices > 1 ? "slices" : "1 slice");

/** @returns the kinds there are */
async function expectWaysRight(device: Device, problem: Problem): Promise<string[]> {
  const ways = likelyWays(device, problem);
  const kinds = [...new Set(ways.map(kindOf))].sort();
  const firsts = kinds.map((kind) => ways.find((way) => kindOf(way) === kind)!);
  await expectRight(device, problem, problem.op === "matmul" && problem.gated === "none" ? ways : firsts);
  return kinds;
}

describe("likely ways give the reference kernel's numbers", () => {
  gpu.checkLeaks();

  for (const problem of OWN)
    test(keyOf(problem), async () => void (await expectWaysRight(await gpu.testDevice(), problem)));

  test("without subgroups, on CPU adapters", async () => {
    const device = await gpu.testDevice();
    const kind = { isSoftware: true, broadcastLanes: 0, quadSwaps: false };
    await gpu.pretending(kind, async () => {
      await expectWaysRight(device, { ...MATMUL, n: 48 });
      expect(likelyWays(device, { ...MATMUL, n: 40, gated: "gelu" }).map(({ tile }) => tile!.tileN4)).toEqual([2, 2]);
    });
  });

  for (const [problem, kinds] of ON_GPUS)
    test(`on GPUs, ${keyOf(problem)}`, async () => {
      const device = await gpu.testDevice();
      await gpu.asHardware(async () => expect(await expectWaysRight(device, problem)).toEqual(kinds));
    });
});
