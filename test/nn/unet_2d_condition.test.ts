import { describe, expect, test } from "vitest";
import type { FreeUFactors } from "../../src/nn/unet/freeu.js";
import type { FromPretrainedOptions } from "../../src/nn/weights/pretrained.js";
import { UNet2DConditionModel, type UNetForwardOptions } from "../../src/nn/unet/unet_2d_condition.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import { asTensor, expectIntermediates, expectMatches, recordOutputs, TOLERANCE } from "../support/models.js";

interface Case {
  golden: string;
  /** The model's folder, below models/repos. */
  model: string;
  variant?: string;
  /** As in fixtures/models/manifest.json. */
  timestep: number | readonly number[];
  freeU?: FreeUFactors;
  /** Compared in float16 too: one of each kind. */
  half?: boolean;
}

const sd15 = "sd15/unet";
const sd21 = "sd21/unet";
const sdxl = "sdxl/unet";
const CASES: readonly Case[] = [
  { golden: "unet/sd15_base", model: sd15, timestep: 981, half: true },
  { golden: "unet/sd15_deep", model: sd15, timestep: 500, half: true },
  { golden: "unet/sd15_float_t", model: sd15, timestep: 333.25 },
  { golden: "unet/sd15_oddsize", model: sd15, timestep: [1, 250, 999], half: true },
  { golden: "unet/sd15_residuals_mask", model: sd15, timestep: 40, half: true },
  { golden: "unet/sd15_freeu", model: sd15, timestep: 500, freeU: { s1: 0.9, s2: 0.2, b1: 1.5, b2: 1.6 }, half: true },
  { golden: "unet/sd21_base", model: sd21, timestep: 981 },
  { golden: "unet/sd21_deep", model: sd21, timestep: 10, half: true },
  { golden: "unet/sd21_odd", model: sd21, timestep: 10 },
  { golden: "unet/sdxl_base", model: sdxl, timestep: 951 },
  { golden: "unet/sdxl_deep", model: sdxl, timestep: 601, half: true },
  { golden: "unet/sdxl_odd", model: sdxl, timestep: [1, 400, 801], half: true },
  { golden: "unet/inpaint9", model: "inpaint/unet", timestep: 777 },
  { golden: "unet/lcm", model: "lcm/unet", timestep: 759, half: true },
  { golden: "unet/variants_fp16_file_fp32_compute", model: "variants/unet", variant: "fp16", timestep: 100 },
  {
    golden: "unet/variants_bf16_file_fp32_compute",
    model: "variants/unet",
    variant: "bf16",
    timestep: 100,
    half: true,
  },
  { golden: "unet/variants_fp32", model: "variants/unet", timestep: 100 },
  {
    golden: "unet/variants_fp16_file_fp32_compute",
    model: "variants/unet-sharded",
    variant: "fp16",
    timestep: 100,
  },
  { golden: "unet/variants_non_ema", model: "variants/unet", variant: "non_ema", timestep: 100 },
  { golden: "unet/variants_sharded", model: "variants/unet-sharded", timestep: 100, half: true },
  { golden: "odd/fourier", model: "odd/fourier", timestep: [0.3, 1.7], half: true },
  { golden: "odd/if_like", model: "odd/if_like", timestep: 77, half: true },
  { golden: "odd/lists", model: "odd/lists", timestep: 7, half: true },
  { golden: "odd/lists_sz", model: "odd/lists", timestep: 999 },
  { golden: "odd/mid_none_hid", model: "odd/mid_none_hid", timestep: [1, 20, 300], half: true },
  { golden: "odd/mish_heads1", model: "odd/mish_heads1", timestep: 999 },
  { golden: "odd/only_cross_projection", model: "odd/only_cross_projection", timestep: 417, half: true },
  { golden: "odd/post_act_concat", model: "odd/post_act_concat", timestep: [11.25, 640.5, 2], half: true },
  { golden: "odd/scale_shift_timestep", model: "odd/scale_shift_timestep", timestep: [3, 500, 998], half: true },
  { golden: "odd/scale_shift_timestep_even", model: "odd/scale_shift_timestep", timestep: 0 },
];

/** Modules whose result here is that of torch's: elsewhere a residual or an activation is fused in. */
const COMPARABLE =
  /(resnets\.\d|attentions\.\d|transformer_blocks\.\d|samplers\.0|conv_in|conv_out|mid_block|(down|up)_blocks\.\d|embedding|hid_proj)$/;

/** The arguments of a golden. */
function optionsOf(goldens: Map<string, Golden>): UNetForwardOptions {
  const given = (name: string): Tensor | undefined => (goldens.has(name) ? asTensor(goldens, name) : undefined);
  const down: Tensor[] = [];
  for (let i = 0; goldens.has(`in.down_block_additional_residuals.${i}`); i++)
    down.push(asTensor(goldens, `in.down_block_additional_residuals.${i}`));
  const [textEmbeds, timeIds] = [given("in.added.text_embeds"), given("in.added.time_ids")];
  return {
    timestepCond: given("in.timestep_cond"),
    classLabels: given("in.class_labels"),
    encoderAttentionMask: given("in.encoder_attention_mask"),
    addedCondKwargs: textEmbeds && timeIds && { textEmbeds, timeIds },
    downBlockAdditionalResiduals: down.length > 0 ? down : undefined,
    midBlockAdditionalResidual: given("in.mid_block_additional_residual"),
  };
}

async function load(model: string, options: FromPretrainedOptions = {}): Promise<UNet2DConditionModel> {
  const [repo, ...subfolder] = model.split("/");
  return UNet2DConditionModel.fromPretrained(fixturePath(`models/repos/${repo}`), {
    subfolder: subfolder.join("/"),
    ...options,
  });
}

describe("UNet2DConditionModel", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, model: folder, variant, timestep, freeU } of CASES.filter(
      ({ half }) => dtype === "float32" || half,
    ))
      test(`${golden} of ${folder} in ${dtype}`, async () => {
        const device = await ensureDevice();
        const goldens = await readGolden(`models/gold/${golden}.safetensors`);
        const model = await load(folder, { dtype, variant });
        if (freeU) model.enableFreeu(freeU);
        const outputs = recordOutputs(model, (path) => COMPARABLE.test(path) && goldens.has(`mid.${path}`));
        const { inputs, sample } = device.scope(() => {
          const options = optionsOf(goldens);
          const inputs = [asTensor(goldens, "in.sample"), asTensor(goldens, "in.encoder_hidden_states")] as const;
          return { inputs, ...model.forward(inputs[0], timestep, inputs[1], options) };
        });
        await expectMatches(sample, goldens.get("out.sample"), "out.sample", TOLERANCE[dtype]);
        const compared = await expectIntermediates(outputs, goldens, TOLERANCE[dtype]);
        if (golden.startsWith("odd/")) expect(compared).toBeGreaterThan(6);
        if (golden.endsWith("deep")) expect(compared).toBeGreaterThan(15);
        for (const tensor of [...inputs, sample]) tensor.dispose();
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

  test("FreeU is turned off by disableFreeu, and by a factor of 0 as in diffusers", async () => {
    const goldens = await readGolden("models/gold/unet/sd15_deep.safetensors");
    const model = await load(sd15);
    const inputs = [asTensor(goldens, "in.sample"), asTensor(goldens, "in.encoder_hidden_states")] as const;
    const factors = { s1: 0.9, s2: 0.2, b1: 1.5, b2: 1.6 };
    const draw = async (): Promise<number[]> => {
      const { sample } = model.forward(inputs[0], 500, inputs[1]);
      const values = Array.from(await sample.data());
      sample.dispose();
      return values;
    };
    const plain = await draw();
    model.enableFreeu(factors);
    expect(await draw()).not.toEqual(plain);
    model.disableFreeu();
    expect(await draw()).toEqual(plain);
    model.enableFreeu(factors);
    model.enableFreeu({ ...factors, s1: 0 });
    expect(await draw()).toEqual(plain);
    expect(() => model.enableFreeu({ ...factors, b2: NaN })).toThrow("b2 must be a number, got NaN");
    for (const wrong of [undefined, 0.9])
      expect(() => model.enableFreeu(wrong as unknown as typeof factors)).toThrow(
        `UNet2DConditionModel.enableFreeu: takes { s1, s2, b1, b2 }, got ${String(wrong)}`,
      );
    for (const tensor of [...inputs, model]) tensor.dispose();
  });

  test("takes addedCondKwargs in Python's spelling, and labels as numbers", async () => {
    const goldens = await readGolden("models/gold/unet/sdxl_base.safetensors");
    const [sample, prompt, text_embeds, time_ids] = [
      "in.sample",
      "in.encoder_hidden_states",
      "in.added.text_embeds",
      "in.added.time_ids",
    ].map((name) => asTensor(goldens, name));
    const model = await load(sdxl);
    const { sample: drawn } = model.forward(sample, 951, prompt, { addedCondKwargs: { text_embeds, time_ids } });
    await expectMatches(drawn, goldens.get("out.sample"), "out.sample", TOLERANCE.float32);
    expect(() => model.forward(sample, 951, prompt)).toThrow("needs addedCondKwargs: { textEmbeds, timeIds }");
    expect(() =>
      model.forward(sample, 951, prompt, { addedCondKwargs: { textEmbeds: time_ids, timeIds: time_ids } }),
    ).toThrow("(projection_class_embeddings_input_dim)");
    for (const tensor of [sample, prompt, text_embeds, time_ids, drawn, model]) tensor.dispose();

    const classes = await readGolden("models/gold/odd/mid_none_hid.safetensors");
    const conditioned = await load("odd/mid_none_hid");
    const [x, context, mask] = ["in.sample", "in.encoder_hidden_states", "in.encoder_attention_mask"].map((name) =>
      asTensor(classes, name),
    );
    const classLabels = Array.from(classes.get("in.class_labels")!.data);
    const options = { classLabels, encoderAttentionMask: mask };
    const { sample: y } = conditioned.forward(x, [1, 20, 300], context, options);
    await expectMatches(y, classes.get("out.sample"), "out.sample", TOLERANCE.float32);
    const wrong = (labels?: number[]): (() => unknown) => {
      return () => conditioned.forward(x, 1, context, { classLabels: labels });
    };
    expect(wrong()).toThrow("classLabels must be given");
    expect(wrong([0, 7, 1])).toThrow("takes integers from 0 to 6, got [0, 7, 1]");
    expect(wrong([0, 1])).toThrow("one class label or one per image (3), got 2");
    for (const tensor of [x, context, mask, y, conditioned]) tensor.dispose();
  });

  test("refuses conditions that it has no use for", async () => {
    const model = new UNet2DConditionModel(await readFixtureJSON("models/repos/sd15/unet/config.json"));
    await ensureDevice();
    const zeros = (...shape: number[]): Tensor => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape);
    const [x, prompt, other] = [zeros(1, 4, 8, 8), zeros(1, 7, 32), zeros(1, 6)];
    const refused = (options: object, message: string): void =>
      expect(() => model.forward(x, 1, prompt, options)).toThrow(message);
    refused({ timestepCond: other }, "timestepCond was given, but config time_cond_proj_dim is null");
    refused({ addedCondKwargs: {} }, "addedCondKwargs was given, but config addition_embed_type is null");
    refused({ attentionMask: other }, "attentionMask was given, but nothing here computes it");
    refused({ encoderAttentionMask: other }, "encoderAttentionMask must be [1, 7], got [1, 6]");
    refused({ midBlockAdditionalResidual: other }, "must be given together");
    expect(() => model.forward(x, 1, other)).toThrow("encoderHiddenStates must be [1, tokens, 32], got [1, 6]");
    for (const tensor of [x, prompt, other]) tensor.dispose();
  });

  const WRONG: [object, string][] = [
    [{ class_embed_type: "learned" }, 'UNet2DConditionModel: config class_embed_type = "learned" is not supported'],
    [{ class_embed_type: "projection" }, 'class_embed_type = "projection" needs projection_class_embeddings_input_dim'],
    [{ addition_embed_type: "image" }, 'config addition_embed_type = "image" is not supported'],
    [{ addition_embed_type: "text_time" }, "needs addition_time_embed_dim and projection_class_embeddings_input_dim"],
    [{ encoder_hid_dim_type: "image_proj" }, 'config encoder_hid_dim_type = "image_proj" is not supported'],
    [{ encoder_hid_dim_type: "text_proj" }, 'encoder_hid_dim_type = "text_proj" needs encoder_hid_dim'],
    [{ attention_type: "gated" }, 'config attention_type = "gated" is not supported (supported: "default")'],
    [{ dual_cross_attention: true }, "config dual_cross_attention = true is not supported (supported: false)"],
    [{ num_attention_heads: 8 }, "config num_attention_heads = 8 is not supported (supported: null)"],
    [{ attention_head_dim: [8, 8] }, "attention_head_dim needs 4 entries"],
    [{ block_out_channels: [320, -1] }, "block_out_channels = [320, -1]"],
    [{ cross_attention_dim: [8, 8, 8, 16] }, "cross_attention_dim = [8, 8, 8, 16] is not supported"],
    [{ transformer_layers_per_block: [[1, 1], 1, 1, 1] }, "needs reverse_transformer_layers_per_block"],
    [{ act_fn: "tanh" }, 'config act_fn = "tanh" is not supported'],
    [{ mid_block_type: "MidBlock" }, 'config mid_block_type = "MidBlock" is not supported'],
    [{ resnet_time_scale_shift: "spatial" }, 'config resnet_time_scale_shift = "spatial" is not supported'],
    [{ time_embedding_type: "fourier", time_embedding_dim: 5 }, "time_embedding_dim = 5 must be even"],
  ];
  for (const [change, message] of WRONG)
    test(`refuses ${JSON.stringify(change)}`, () => {
      expect(() => new UNet2DConditionModel({ ...change })).toThrow(message);
    });
});
