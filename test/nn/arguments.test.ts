import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPTextModel,
  CLIPTokenizer,
  ControlNetModel,
  Tensor,
  UNet2DConditionModel,
  UNet2DModel,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";

const SD15 = fixturePath("models/repos/sd15");

describe("wrong arguments of models", () => {
  let unet: UNet2DConditionModel;
  let sample: Tensor;
  let context: Tensor;
  beforeAll(async () => {
    unet = await UNet2DConditionModel.fromPretrained(SD15, { subfolder: "unet" });
    sample = Tensor.from(new Float32Array(4 * 64), [1, 4, 8, 8]);
    context = Tensor.from(new Float32Array(5 * 32), [1, 5, 32]);
  });
  afterAll(() => [unet, sample, context].forEach((owned) => owned.dispose()));

  const WRONG: [args: () => unknown[], message: string][] = [
    [() => [], "UNet2DConditionModel: sample [batch, 4, height, width] must be a Tensor, got undefined"],
    [() => [sample, 1], "UNet2DConditionModel: encoderHiddenStates [1, tokens, 32] must be a Tensor, got undefined"],
    [
      () => [sample, 1, new Float32Array(9)],
      "must be a Tensor, got Float32Array(9); wrap it: Tensor.from(data, shape)",
    ],
    [() => [sample, undefined, context], "timestep must be a number or a list of numbers, got undefined"],
    [() => [sample, NaN, context], "UNet2DConditionModel: timestep must be finite, got NaN"],
    [() => [sample, [Infinity], context], "UNet2DConditionModel: timestep must be finite, got Infinity"],
    [
      () => [sample, context, context],
      "got Tensor(float32 [1, 5, 32]); read it first: Array.from(await timestep.data())",
    ],
  ];
  for (const [args, message] of WRONG)
    test(message, () => {
      const forward = unet.forward.bind(unet) as (...given: unknown[]) => unknown;
      expect(() => forward(...args())).toThrow(message);
    });

  test("an unconditional UNet", async () => {
    const plain = await UNet2DModel.fromPretrained(fixturePath("models/repos/ddpm-cifar"));
    expect(() => plain.forward([] as unknown as Tensor, 1)).toThrow(
      "UNet2DModel: sample [batch, 3, height, width] must",
    );
    plain.dispose();
  });

  test("the text encoder", async () => {
    const text = new CLIPTextModel({ num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 1 });
    const forward = text.forward.bind(text) as (ids?: unknown) => Promise<unknown>;
    await expect(forward()).rejects.toThrow("CLIPTextModel: ids must be rows of numbers, [[49406, …, 49407]]");
    await expect(forward([1, 2])).rejects.toThrow("or an int32 tensor [batch, tokens], got [1, 2]");
  });

  test("the tokenizer", async () => {
    const tokenizer = await CLIPTokenizer.fromPretrained(SD15, { subfolder: "tokenizer" });
    for (const wrong of [null, undefined, 5, {}])
      expect(() => tokenizer(wrong as unknown as string)).toThrow(
        `CLIPTokenizer: takes a text or a list of texts, got ${JSON.stringify(wrong) ?? "undefined"}`,
      );
  });
});

describe("options of forward() in Python's spelling", () => {
  const numbers = async ({ sample }: { sample: Tensor }): Promise<number[]> => {
    const values = Array.from(await sample.data());
    sample.dispose();
    return values;
  };

  test("UNet2DConditionModel", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(SD15, { subfolder: "unet" });
    const sample = Tensor.from(new Float32Array(4 * 64).fill(0.5), [1, 4, 8, 8]);
    const context = Tensor.from(new Float32Array(2 * 32).fill(1).fill(-1, 32), [1, 2, 32]);
    const mask = Tensor.from([1, 0], [1, 2]);
    const own = await numbers(unet.forward(sample, 1, context, { encoderAttentionMask: mask }));
    expect(await numbers(unet.forward(sample, 1, context, { encoder_attention_mask: mask } as object))).toEqual(own);
    expect(await numbers(unet.forward(sample, 1, context))).not.toEqual(own);
    expect(() => unet.forward(sample, 1, context, { attention_mask: mask } as object)).toThrow(
      "UNet2DConditionModel: attention_mask was given, but nothing here computes it",
    );
    for (const owned of [sample, context, mask, unet]) owned.dispose();
  });

  test("CLIPTextModel", async () => {
    const text = await CLIPTextModel.fromPretrained(SD15, { subfolder: "text_encoder" });
    const last = async (options?: object): Promise<number[]> => {
      const { lastHiddenState, pooledOutput, hiddenStates } = await text.forward([[2512, 320, 2513]], options);
      const values = Array.from(await lastHiddenState.data());
      for (const tensor of [lastHiddenState, pooledOutput, ...hiddenStates]) tensor.dispose();
      return values;
    };
    const own = await last({ attentionMask: [[1, 0, 1]] });
    expect(await last({ attention_mask: [[1, 0, 1]] })).toEqual(own);
    expect(await last()).not.toEqual(own);
    text.dispose();
  });

  test("those of others are looked at, too", async () => {
    const unet = await UNet2DModel.fromPretrained(fixturePath("models/repos/ddpm-cifar"));
    const { in_channels: channels, sample_size: side } = unet.config;
    const sample = Tensor.from(new Float32Array(channels * (side as number) ** 2), [
      1,
      channels,
      side as number,
      side as number,
    ]);
    expect(() => unet.forward(sample, 1, { class_labels: [1] } as object)).toThrow(/class/i);
    for (const owned of [sample, unet]) owned.dispose();
    const control = await ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"));
    const { cross_attention_dim: width } = control.config;
    const inputs = [
      [1, 4, 8, 8],
      [1, 2, width as number],
      [1, 3, 64, 64],
    ].map((shape) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5), shape));
    const middle = async (options?: object): Promise<number[]> => {
      const output = control.forward(inputs[0], 1, inputs[1], inputs[2], options);
      const values = Array.from(await output.midBlockResSample.data());
      for (const tensor of [output.midBlockResSample, ...output.downBlockResSamples]) tensor.dispose();
      return values;
    };
    const own = await middle({ conditioningScale: 2 });
    expect(await middle({ conditioning_scale: 2 })).toEqual(own);
    expect(await middle()).not.toEqual(own);
    for (const owned of [...inputs, control]) owned.dispose();
  });
});

describe("Tensor.from", () => {
  test("refuses what is no list of numbers, and other dtypes", () => {
    const from = Tensor.from.bind(Tensor) as (...args: unknown[]) => unknown;
    expect(() => from([[1, 2]], [1])).toThrow(
      "data must be numbers, got [1, 2] at 0; flatten nested lists: data.flat(",
    );
    expect(() => from([1, "2"], [2])).toThrow('Tensor.from: data must be numbers, got "2" at 1');
    expect(() => from(null, [1])).toThrow("Tensor.from: data must be a list of numbers, got null");
    expect(() => from([1], [1], { dtype: "bfloat16" })).toThrow(
      'Tensor.from: dtype must be float32, float16, int32, got "bfloat16" (WebGPU has no bfloat16)',
    );
  });
});
