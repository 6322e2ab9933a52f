// Kernels of subgroup matrices: few adapters can run them, but Dawn's null backend can say whether their text is valid.
import { create } from "webgpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { conv2d } from "../../kernels/conv2d.wgsl.js";
import { flashAttentionMatrix } from "../../kernels/flash_attention_matrix.wgsl.js";
import { matmul } from "../../kernels/matmul.wgsl.js";
import type { MatrixShape } from "../../kernels/tile_parts.js";
import { matrices } from "../../bench/roofline_kernels.js";
import { SUBGROUP_MATRIX } from "../../src/tensor/adapter_kind.js";
import { matrixTile } from "../../src/tensor/ops/tiling_hardware.js";

/** Of NVIDIA, Apple and Intel. */
const SHAPES: readonly [MatrixShape, lanes: number][] = [
  [{ m: 16, n: 16, k: 16 }, 32],
  [{ m: 8, n: 8, k: 8 }, 32],
  [{ m: 8, n: 16, k: 16 }, 16],
];

const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
let device: GPUDevice;

/** What the compiler says of a module, if it is an error. */
async function errors(code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  return messages.filter(({ type }) => type === "error").map(({ lineNum, message }) => `${lineNum}: ${message}`);
}

describe("kernels of subgroup matrices are valid", () => {
  beforeAll(async () => {
    const adapter = (await gpu.requestAdapter())!;
    const requiredFeatures = ["shader-f16", "subgroups", SUBGROUP_MATRIX] as GPUFeatureName[];
    device = await adapter.requestDevice({ requiredFeatures });
  });
  afterAll(() => device.destroy());

  test("a wrong one is found", async () => expect(await errors("fn main() { wrong(); }")).toHaveLength(1));

  for (const [matrix, lanes] of SHAPES) {
    const name = `${matrix.m} x ${matrix.n} x ${matrix.k}`;
    const tile = {
      ...matrixTile({ matrix, lanes }, [32, 32, 2, 2, 8]),
      ...({
        textures: "none",
        flat: false,
        panels: false,
        unrolled: false,
        lanes,
        matrix,
        format: "f16",
        fma: true,
        activation: "silu",
      } as const),
    };
    test(`matmul, ${name}`, async () => {
      const plain = { ...tile, gated: "none", bias: true, residual: true, split: false } as const;
      const none = { ...plain, activation: "none", bias: false, residual: false } as const;
      const variants = [plain, { ...none, split: true }, { ...none, bias: true, gated: "gelu" }] as const;
      for (const variant of variants) expect(await errors(matmul.source({ ...variant, by: "matrix" }))).toEqual([]);
    });

    test(`conv2d, ${name}`, async () => {
      const plain = { ...tile, shift: "own", residual: true, phases: false, shortcut: 0, split: false } as const;
      const bare = { ...plain, shift: "none", residual: false } as const;
      const variants = [
        plain,
        { ...plain, phases: true },
        { ...bare, shortcut: 2 },
        { ...bare, shortcut: 1, split: true },
      ];
      for (const variant of variants as (typeof plain)[])
        expect(await errors(conv2d.source({ ...variant, by: "matrix" }))).toEqual([]);
    });

    test(`attention and the roofline, ${name}`, async () => {
      if (lanes % matrix.m === 0)
        for (const headSize of [40, 64, 160]) {
          const variant = { headSize, matrix, lanes, subgroups: 4, blocks: 1, keys: 32 };
          expect(await errors(flashAttentionMatrix.source(variant)), `heads of ${headSize}`).toEqual([]);
        }
      expect(await errors(matrices.source({ matrix, lanes }))).toEqual([]);
    });
  }
});
