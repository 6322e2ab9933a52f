import { describe, expect, test } from "vitest";
import { spans, spanType, type SpanVariant } from "../../kernels/spans.js";
import { enable, numbered, paramsStruct, u32s, type Kernel } from "../../kernels/wgsl.js";
import { threadGrid } from "../../src/tensor/ops/common.js";
import { floatsAroundHalves } from "../cases/halves.js";
import * as gpu from "../support/gpu.js";

/** y = x, span by span. */
const copySpans: Kernel<SpanVariant> = {
  name: "test copy of spans",
  params: u32s("spans"),
  bindings: () => ["read", "write"],
  source(variant) {
    return `${enable(variant.format)}${paramsStruct(this.params)}${spanType(variant)}
${spans(1, "x", "read", { ...variant, format: "f32" })}${spans(2, "y", "write", variant)}
${numbered("i")}
  if (i < params.spans) { store_y(i, load_x(i)); }
}`;
  },
};

describe("spans", () => {
  gpu.checkLeaks();

  for (const quads of [1, 2] as const)
    for (const format of ["f16", "bits16"] as const)
      test(`of ${quads} quads round to nearest even, and too large numbers to infinity, ${format}`, async (context) => {
        const { features } = await gpu.testDevice();
        if (format === "f16" && !features.has("shader-f16")) context.skip("the adapter has no shader-f16");
        const { x, wanted } = floatsAroundHalves();
        await gpu.withTensors(async (make) => {
          const [from, to] = [make(x, [x.length], "float32"), make(new Float32Array(x.length), [x.length], "float16")];
          const count = x.length / 4 / quads;
          const variant = { format, quads };
          const grid = threadGrid(count);
          from.device.run({ kernel: copySpans, variant, values: { spans: count }, buffers: [from, to], grid });
          const got = await to.data();
          expect(got.findIndex((value, i) => !Object.is(value, wanted[i]))).toBe(-1);
        });
      });
});
