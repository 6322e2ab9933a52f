import { describe, expect, test } from "vitest";
import { UNet2DConditionModel } from "../../src/nn/unet_2d_condition.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { fixturePath } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { asTensor, expectIntermediates, expectMatches, recordOutputs, TOLERANCE } from "../support/models.js";

/** Timesteps as in fixtures/models/manifest.json. */
const CASES = [
  { golden: "sd15_base", repo: "sd15", timestep: 981 },
  { golden: "sd15_deep", repo: "sd15", timestep: 500 },
  { golden: "sd15_float_t", repo: "sd15", timestep: 333.25 },
  { golden: "sd15_oddsize", repo: "sd15", timestep: [1, 250, 999] },
  { golden: "sd21_base", repo: "sd21", timestep: 981 },
  { golden: "sd21_deep", repo: "sd21", timestep: 10 },
  { golden: "sd21_odd", repo: "sd21", timestep: 10 },
  { golden: "inpaint9", repo: "inpaint", timestep: 777 },
  { golden: "lcm", repo: "lcm", timestep: 759 },
  { golden: "variants_fp32", repo: "variants", timestep: 100 },
  { golden: "variants_non_ema", repo: "variants", variant: "non_ema", timestep: 100 },
  { golden: "variants_fp16_file_fp32_compute", repo: "variants", variant: "fp16", timestep: 100 },
  { golden: "variants_bf16_file_fp32_compute", repo: "variants", variant: "bf16", timestep: 100 },
  { golden: "variants_sharded", repo: "variants", subfolder: "unet-sharded", timestep: 100 },
  {
    golden: "variants_fp16_file_fp32_compute",
    repo: "variants",
    subfolder: "unet-sharded",
    variant: "fp16",
    timestep: 100,
  },
] as const;

/** Modules whose result here is that of torch's: elsewhere a residual or an activation is fused in. */
const COMPARABLE =
  /(resnets\.\d|attentions\.\d|transformer_blocks\.\d|samplers\.0|conv_in|conv_out|mid_block|up_blocks\.\d)$/;

describe("UNet2DConditionModel", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, repo, timestep, ...load } of CASES)
      test(`${golden} in ${dtype} ${Object.values(load).join()}`, async () => {
        const goldens = await readGolden(`models/gold/unet/${golden}.safetensors`);
        const model = await UNet2DConditionModel.fromPretrained(fixturePath(`models/repos/${repo}`), {
          subfolder: "unet",
          dtype,
          ...load,
        });
        const outputs = recordOutputs(model, (path) => COMPARABLE.test(path) && goldens.has(`mid.${path}`));
        const inputs = [asTensor(goldens, "in.sample"), asTensor(goldens, "in.encoder_hidden_states")] as const;
        const timestepCond = goldens.has("in.timestep_cond") ? asTensor(goldens, "in.timestep_cond") : undefined;
        const { sample } = model.forward(inputs[0], timestep, inputs[1], { timestepCond });
        await expectMatches(sample, goldens.get("out.sample"), "out.sample", TOLERANCE[dtype]);
        const compared = await expectIntermediates(outputs, goldens, TOLERANCE[dtype]);
        if (golden.endsWith("deep")) expect(compared).toBeGreaterThan(15);
        for (const tensor of [...inputs, timestepCond, sample]) tensor?.dispose();
        model.dispose();
      });

  test("frees everything", async () => {
    const device = await ensureDevice();
    device.trim();
    await device.synchronize();
    const before = device.memoryUse;
    const model = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/inpaint"), { subfolder: "unet" });
    model.dispose();
    device.trim();
    await device.synchronize();
    expect(device.memoryUse.buffers).toBe(before.buffers);
    expect(device.memoryUse.bytes).toBe(before.bytes);
  });

  test("names what it does not support", () => {
    expect(() => new UNet2DConditionModel({ class_embed_type: "timestep" })).toThrow(
      'UNet2DConditionModel: config class_embed_type = "timestep" is not supported (supported: null)',
    );
    expect(() => new UNet2DConditionModel({ attention_head_dim: [8, 8] })).toThrow(
      "attention_head_dim needs 4 entries",
    );
    expect(() => new UNet2DConditionModel({ block_out_channels: [320, -1] })).toThrow("block_out_channels = [320,-1]");
  });
});
