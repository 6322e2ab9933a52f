import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLIPTextModel, CLIPTokenizer, Tensor, UNet2DConditionModel, UNet2DModel } from "../../src/index.js";
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
