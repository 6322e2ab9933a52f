// Each key of each model's config, with each kind of wrong value: a model, or soon an error that names key and class, or the module in it.
import { describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  AutoencoderTiny,
  CLIPTextModel,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  ControlNetModel,
  StableDiffusionSafetyChecker,
  T2IAdapter,
  UNet2DConditionModel,
  UNet2DModel,
} from "../../src/index.js";
import { readFixtureJSON } from "../support/files.js";
import { expectWithin } from "../support/timing.js";

type Config = Record<string, unknown>;
type ModelClass = (new (config: Config) => unknown) & { className: string };
/** `refused`: how many of the wrong values. A rule that goes missing lets some pass. */
type Case = [Class: ModelClass, file: string | Config, refused: number, part?: string];
const CASES: Case[] = [
  [AutoencoderKL, "sd15/vae", 428],
  [AutoencoderTiny, "taesd", 345],
  [CLIPTextModel, "sd15/text_encoder", 246],
  [CLIPTextModelWithProjection, "sdxl/text_encoder_2", 246],
  [CLIPVisionModelWithProjection, "sd15-safe/safety_checker", 251, "vision_config"],
  [ControlNetModel, "controlnet", 786],
  [StableDiffusionSafetyChecker, "sd15-safe/safety_checker", 94],
  [T2IAdapter, T2IAdapter.defaults, 127],
  [UNet2DConditionModel, "sd15/unet", 1134],
  [UNet2DModel, "ddpm-cifar", 408],
];

/** What stands in a damaged or hostile config. */
const VALUES: unknown[] = [
  undefined,
  null,
  "",
  "x",
  "../x",
  "constructor",
  "__proto__",
  true,
  -1,
  0,
  0.5,
  NaN,
  Infinity,
  1e308,
  2 ** 53,
  1 << 20,
  [],
  [1],
  [-1, 2],
  [null],
  ["x"],
  [1e308],
  new Array(65).fill(1),
  new Array(4).fill(1 << 20),
  {},
  [[]],
];
/** Notes of the file that no code reads. */
const NOTES = /^_|^architectures$|^torch_dtype$|version$|^model_type$/;
/** An error may name another key that takes part: sizes that do not go together. */
const KEYS =
  /(block_types|block_out_channels|_channels|_heads|head_dim|_groups|layers|_blocks|hidden_size|_dim|weights|_class_name)/;
const MAX_MS = 1000;

/** What a model made of `config` throws, if it does. */
function refusal(Class: ModelClass, config: Config): Error | undefined {
  try {
    new Class(config);
  } catch (error) {
    return error as Error;
  }
}

describe("configs with one wrong value", () => {
  for (const [Class, folder, wanted, part] of CASES)
    test(Class.className, async () => {
      const file =
        typeof folder === "string" ? await readFixtureJSON<Config>(`models/repos/${folder}/config.json`) : folder;
      const config = part === undefined ? file : (file[part] as Config);
      expect(() => new Class(config)).not.toThrow();
      let refused = 0;
      for (const key of Object.keys(config).filter((name) => !NOTES.test(name)))
        for (const value of VALUES) {
          const error = await expectWithin(MAX_MS, () => refusal(Class, { ...config, [key]: value }));
          if (error === undefined) continue;
          refused++;
          const where = `${Class.className} ${key} = ${JSON.stringify(value)}`;
          expect(error, where).not.toBeInstanceOf(SyntaxError);
          expect(error.message.includes(key) || KEYS.test(error.message), `${where}: ${error.message}`).toBe(true);
          expect(error.message, where).toMatch(/^[A-Z]\w+: /);
          expect(error.message.length, where).toBeLessThan(1200);
        }
      expect(refused).toBe(wanted);
    });
});

describe("flags", () => {
  test("null, 0 and 1 are taken as Python takes them, and kept as they are", () => {
    const sizes = { block_out_channels: [8], norm_num_groups: 4, layers_per_block: 1 };
    const vae = new AutoencoderKL({
      ...sizes,
      use_quant_conv: 0,
      use_post_quant_conv: 1,
      mid_block_add_attention: null,
    });
    expect([vae.quant_conv === null, vae.post_quant_conv === null]).toEqual([true, false]);
    expect([...vae.parameters()].some(([key]) => key.includes("attentions"))).toBe(false);
    expect(vae.config.use_quant_conv).toBe(0);
    // ControlNetModel.from_unet() takes upcast_attention from the UNet, where it may be null.
    const types = { down_block_types: ["CrossAttnDownBlock2D"], cross_attention_dim: 8, attention_head_dim: 2 };
    const controlnet = new ControlNetModel({ ...sizes, ...types, upcast_attention: null, use_linear_projection: 1 });
    expect((controlnet.config as Record<string, unknown>).upcast_attention).toBe(null);
    expect(new Map(controlnet.parameters()).get("mid_block.attentions.0.proj_in.weight")?.shape).toEqual([8, 8]);
    const resampling = { down_block_types: ["ResnetDownsampleBlock2D"], up_block_types: ["ResnetUpsampleBlock2D"] };
    for (const resnet_skip_time_act of [1, true]) {
      const unet = new UNet2DConditionModel({ ...sizes, ...resampling, attention_head_dim: 2, resnet_skip_time_act });
      const [down] = unet.down_blocks as unknown as { resnets: { skipTimeAct: boolean }[] }[];
      expect(down.resnets[0].skipTimeAct).toBe(true);
    }
    expect(() => new AutoencoderKL({ ...sizes, use_quant_conv: 2 })).toThrow(/use_quant_conv = 2 is not supported/);
  });

  test("swish is silu", () => {
    const sizes = { block_out_channels: [8], norm_num_groups: 4, down_block_types: ["DownBlock2D"] };
    const { config } = new ControlNetModel({ ...sizes, act_fn: "swish" });
    expect((config as Record<string, unknown>).act_fn).toBe("swish");
    expect(() => new ControlNetModel({ ...sizes, act_fn: "mish" })).toThrow(/act_fn = "mish" is not supported/);
  });
});
