import { describe, expect, test } from "vitest";
import { likelyWays } from "../../src/tensor/tuning/likely_ways.js";
import { keyOf, type Problem, type Way } from "../../src/tensor/tuning/problem.js";
import * as gpu from "../support/gpu.js";
import { ATTENTION, DOUBLED, expectRight, MATMUL } from "../support/tuning.js";

// In Node only: a CPU adapter takes seconds to compile these kernels, and SwiftShader in Chrome longer.
describe("likely ways on GPUs", () => {
  gpu.checkLeaks();

  // Each tile once, in the smallest kernel, and each kind of way.
  const onGPUs: [of: Problem, kinds: string[]][] = [
    [{ ...MATMUL, k: 512 }, ["1 slice", "slices"]],
    [DOUBLED, ["1 slice", "phases", "slices", "winograd"]],
    [ATTENTION, ["flash", "scores"]],
  ];
  for (const [problem, kinds] of onGPUs)
    test(`of ${keyOf(problem)} give the reference kernel's numbers`, async () => {
      const device = await gpu.testDevice();
      await gpu.asHardware(async () => {
        const ways = likelyWays(device, problem);
        expect([...new Set(ways.map(kindOf))].sort()).toEqual(kinds);
        const some = problem === onGPUs[0][0] ? ways : kinds.map((kind) => ways.find((way) => kindOf(way) === kind)!);
        await expectRight(device, problem, some);
      });
    });
});

const kindOf = ({ by, winograd, phases, slices = 1 }: Way): string =>
  by ?? (winograd ? "winograd" : phases ? "phases" : slices > 1 ? "slices" : "1 slice");
