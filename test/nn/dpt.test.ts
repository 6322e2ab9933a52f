import { describe, expect, test } from "vitest";
import { DPTForDepthEstimation } from "../../src/nn/dpt/dpt_for_depth_estimation.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { DEPTH, estimatorRepository, type DepthModel } from "../support/depth.js";
import { readGolden, type Golden } from "../support/goldens.js";
import { fnv, uniform } from "../support/made_weights.js";
import { differences } from "../support/pipelines.js";
import { expectIntermediates, expectMatches, recordOutputs, TOLERANCE } from "../support/models.js";

const all = await readGolden("models/gold/depth/dpt.safetensors");
const goldensOf = (name: string): Map<string, Golden> =>
  new Map(
    [...all].filter(([key]) => key.startsWith(`${name}.`)).map(([key, golden]) => [key.slice(name.length + 1), golden]),
  );
const pixelsOf = ({ count, side }: Pick<DepthModel, "count" | "side">): Tensor => {
  const [shape, seed] = [[count, 3, side, side], fnv("pixels")];
  return Tensor.from(
    Float32Array.from({ length: count * 3 * side * side }, (_, i) => uniform(seed, i)),
    shape,
  );
};
const deviation = (values: Golden["data"]): number => {
  const mean = (values as Float32Array).reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt((values as Float32Array).reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
};
const configOf = (name: string): Record<string, unknown> => DEPTH.models.find((model) => model.name === name)!.config;

describe("DPTForDepthEstimation, as transformers", () => {
  for (const model of DEPTH.models)
    test(`${model.name} in float32`, async () => {
      const { name, config, kept } = model;
      const estimator = await DPTForDepthEstimation.fromPretrained(estimatorRepository(config));
      const outputs = recordOutputs(estimator, (path) => kept.includes(path));
      const pixels = pixelsOf(model);
      const { predictedDepth } = estimator.forward(pixels);
      const goldens = goldensOf(name);
      expect(await expectIntermediates(outputs, goldens, TOLERANCE.float32)).toBe(kept.length);
      await expectMatches(predictedDepth, goldens.get("out"), "predicted_depth", TOLERANCE.float32);
      for (const each of [pixels, predictedDepth, estimator]) each.dispose();
    });

  test("a hybrid in float16", async () => {
    const model = DEPTH.models.find(({ name }) => name === "hybrid")!;
    const estimator = await DPTForDepthEstimation.fromPretrained(estimatorRepository(model.config), {
      dtype: "float16",
    });
    const pixels = pixelsOf(model);
    const { predictedDepth } = estimator.forward(pixels);
    const golden = goldensOf("hybrid").get("out")!;
    const { mean } = differences(await predictedDepth.data(), golden.data);
    // In the mean: with two channels to a group, single pixels of torch's own float16 are off by 5e-2.
    expect(mean).toBeLessThan(TOLERANCE.float16 * deviation(golden.data));
    for (const each of [pixels, predictedDepth, estimator]) each.dispose();
  });
});

describe("its config", () => {
  const estimator = (config: object) => (): DPTForDepthEstimation => new DPTForDepthEstimation({ ...config });
  const hybrid = configOf("hybrid");
  const bit = (config: object): object => ({
    ...hybrid,
    backbone_config: { ...(hybrid.backbone_config as object), ...config },
  });

  test("of a hybrid that says nothing of its backbone is that of dpt-hybrid-midas", () => {
    const { config, head, dpt } = estimator({
      is_hybrid: true,
      neck_hidden_sizes: [256, 512, 768, 768],
      reassemble_factors: [1, 1, 1, 0.5],
      add_projection: true,
      torch_dtype: "float32",
    })();
    const { depths, global_padding } = config.backbone_config!;
    expect({ depths, global_padding }).toEqual({ depths: [3, 4, 9], global_padding: "SAME" });
    expect(head.projection!.weight.shape).toEqual([256, 256, 3, 3]);
    expect(dpt.embeddings.projection!.weight.shape).toEqual([768, 1024, 1, 1]);
  });

  test("values that nothing computes are refused by name", () => {
    expect(estimator({ ...hybrid, readout_type: "add" })).toThrow(
      'readout_type must be "project" of a hybrid, got "add"',
    );
    expect(estimator({ ...hybrid, neck_ignore_stages: [] })).toThrow("neck_ignore_stages = [] is not supported");
    expect(estimator({ ...hybrid, is_hybrid: false })).toThrow("config backbone_config = ");
    expect(estimator({ backbone: "facebook/dinov2" })).toThrow(
      'backbone = "facebook/dinov2" is not supported: only hybrids',
    );
    expect(estimator({ backbone_config: [] })).toThrow("backbone_config must be an object, got []");
    expect(estimator({ use_batch_norm_in_fusion_residual: true })).toThrow("use_batch_norm_in_fusion_residual = true");
    expect(estimator({ image_size: [384, 384] })).toThrow("image_size = [384, 384] is not supported");
    expect(estimator({ patch_size: 400 })).toThrow("make 0 patches, not 1 to 65536");
    expect(estimator({ neck_hidden_sizes: [8] })).toThrow("has 1 entries, but backbone_out_indices makes 4 features");
    expect(estimator({ reassemble_factors: [1.5] })).toThrow("reassemble_factors = [1.5] is not supported");
    expect(estimator({ reassemble_factors: [1] })).toThrow("reassemble_factors needs 4 entries");
    expect(estimator({ head_in_index: 4 })).toThrow("head_in_index = 4 is none of 4 features");
    expect(estimator({ num_attention_heads: 5 })).toThrow("num_attention_heads = 5 does not divide hidden_size = 768");
    expect(estimator(bit({ global_padding: "valid" }))).toThrow('backbone_config: config global_padding = "VALID"');
    expect(estimator(bit({ model_type: "swinv2" }))).toThrow('backbone_config: config model_type = "swinv2"');
    expect(estimator(bit({ output_stride: 8 }))).toThrow("convolutions would be dilated");
    expect(estimator(bit({ out_features: ["stage1"] }))).toThrow("must have 3 out_features, got 1");
    expect(estimator(bit({ out_features: ["stage4"] }))).toThrow("must be of stem, stage1, stage2, stage3");
    expect(estimator(bit({ hidden_sizes: [8] }))).toThrow("hidden_sizes needs 3 entries");
    expect(estimator({ ...hybrid, backbone_featmap_shape: [1, 64, 5, 5] })).toThrow(
      "must have the backbone's 48 channels",
    );
  });

  test("pictures of another shape are refused", async () => {
    const model = await DPTForDepthEstimation.fromPretrained(estimatorRepository(configOf("add")));
    const wide = Tensor.from(new Float32Array(3 * 8 * 24), [1, 3, 8, 24]);
    const grey = Tensor.from(new Float32Array(64), [1, 1, 8, 8]);
    expect(() => model.forward(wide)).toThrow("as many patches of 8 pixels high as wide, got 24x8 pixels");
    expect(() => model.forward(grey)).toThrow("takes [batch, 3, height, width], got [1, 1, 8, 8]");
    for (const each of [wide, grey, model]) each.dispose();
    const { config, forward } = new DPTForDepthEstimation(hybrid);
    const small = Tensor.from(new Float32Array(3 * 64 * 64), [1, 3, 64, 64]);
    expect(() => forward.call({ config } as never, small)).toThrow("of 80x80 pixels (image_size), got 64x64");
    small.dispose();
  });
});
