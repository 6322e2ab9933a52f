import { describe, expect, test } from "vitest";
import { adapterKind } from "../../src/tensor/adapter_kind.js";

const kindOf = (description: string, ...features: string[]) =>
  adapterKind({ vendor: "", architecture: "", device: "", description } as GPUAdapterInfo, new Set(features));

describe("adapterKind", () => {
  test("makes halves by what rounds them to nearest", () => {
    expect(kindOf("NVIDIA GeForce RTX 4070", "shader-f16").halfFormat).toBe("f16");
    for (const name of ["NVIDIA GeForce GTX 1060", "Microsoft Basic Render Driver"])
      expect(kindOf(name).halfFormat).toBe("bits16");
    expect(kindOf("SwiftShader Device (Subzero)").halfFormat).toBe("pack16");
    expect(kindOf("llvmpipe (LLVM 15.0.6, 256 bits)", "shader-f16").halfFormat).toBe("bits16");
  });

  test("multiplies and adds at once but on SwiftShader and its like", () => {
    for (const name of ["AMD Radeon RX 7800 XT", "Apple M2", "llvmpipe (LLVM 15.0.6, 256 bits)"])
      expect(kindOf(name).fusedMultiplyAdd).toBe(true);
    for (const name of ["SwiftShader Device (Subzero)", "Microsoft Basic Render Driver"])
      expect(kindOf(name).fusedMultiplyAdd).toBe(false);
  });
});
