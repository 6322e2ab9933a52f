import { describe, expect, test } from "vitest";
import { ControlNetModel, type ControlNetOptions } from "../../src/nn/controlnet/controlnet.js";
import type { ControlNetOutput } from "../../src/nn/controlnet/controlnet_trunk.js";
import { UNet2DConditionModel } from "../../src/nn/unet/unet_2d_condition.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { CONTROLNET_PICTURES, controlNet } from "../support/controlnet_pictures.js";
import { fixturePath } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";
import { ramp } from "../support/sdxl_pictures.js";

const load = (options = {}): Promise<ControlNetModel> =>
  ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), options);
const inputs = async (): Promise<[Map<string, Golden>, Tensor, Tensor, Tensor]> => {
  await ensureDevice();
  const goldens = await readGolden("models/gold/controlnet/base.safetensors");
  const [sample, context, cond] = ["sample", "encoder_hidden_states", "controlnet_cond"].map((name) =>
    asTensor(goldens, `in.${name}`),
  );
  return [goldens, sample, context, cond];
};

describe("ControlNetModel", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const [suffix, options] of [
      ["", {}],
      ["_scale0.7", { conditioningScale: 0.7 }],
      ["_guess", { guessMode: true }],
    ] as const)
      test(`base${suffix} in ${dtype}`, async () => {
        const [goldens, sample, context, cond] = await inputs();
        const model = await load({ dtype });
        const output = model.forward(sample, 321, context, cond, options);
        const { downBlockResSamples: down, midBlockResSample: middle } = output;
        await expectMatches(middle, goldens.get(`out.mid${suffix}`), `mid${suffix}`, TOLERANCE[dtype]);
        let compared = 0;
        for (const [i, residual] of down.entries()) {
          const expected = goldens.get(`out.down.${i}${suffix}`);
          if (!expected) continue;
          await expectMatches(residual, expected, `down.${i}${suffix}`, TOLERANCE[dtype]);
          compared++;
        }
        expect(compared).toBe(suffix === "" ? down.length : 1);
        for (const tensor of [sample, context, cond, ...down, middle, model]) tensor.dispose();
      });

  test("a UNet takes the results", async () => {
    const [goldens, sample, context, cond] = await inputs();
    const [model, unet] = await Promise.all([
      load(),
      UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "unet" }),
    ]);
    const { downBlockResSamples: down, midBlockResSample: middle } = model.forward(sample, 321, context, cond);
    const residuals = { downBlockAdditionalResiduals: down, midBlockAdditionalResidual: middle };
    const { sample: drawn } = unet.forward(sample, 321, context, residuals);
    await expectMatches(drawn, goldens.get("out.unet_sample"), "unet_sample", TOLERANCE.float32);
    const fewer = { ...residuals, downBlockAdditionalResiduals: down.slice(1) };
    expect(() => unet.forward(sample, 321, context, fewer)).toThrow("must be 9 tensors, got 8");
    for (const tensor of [sample, context, cond, ...down, middle, drawn, model, unet]) tensor.dispose();
  });

  test("a UNet takes results of one pixel (global_pool_conditions) for all pixels, as torch broadcasts them", async () => {
    const [, sample, context, cond] = await inputs();
    const [whole, pooled, unet] = await Promise.all([
      load(),
      load({ config: { global_pool_conditions: true } }),
      UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "unet" }),
    ]);
    const resultsOf = (model: ControlNetModel): Tensor[] => {
      const { downBlockResSamples: down, midBlockResSample: middle } = model.forward(sample, 321, context, cond);
      return [...down, middle];
    };
    const draw = (residuals: Tensor[]): Tensor =>
      unet.forward(sample, 321, context, {
        downBlockAdditionalResiduals: residuals.slice(0, -1),
        midBlockAdditionalResidual: residuals.at(-1),
      }).sample;
    const [full, single] = [resultsOf(whole), resultsOf(pooled)];
    const spread = await Promise.all(
      single.map(async (x, i) => {
        const { shape } = full[i];
        expect(x.shape).toEqual([shape[0], shape[1], 1, 1]);
        const data = await x.data();
        const pixels = shape[2] * shape[3];
        return Tensor.from(
          Float32Array.from({ length: data.length * pixels }, (_, at) => data[Math.floor(at / pixels)]),
          shape,
        );
      }),
    );
    const [expected, actual] = [draw(spread), draw(single)];
    expect(await actual.data()).toEqual(await expected.data());
    for (const tensor of [sample, context, cond, ...full, ...single, ...spread, expected, actual]) tensor.dispose();
    for (const model of [whole, pooled, unet]) model.dispose();
  });

  test("bgr pictures and pooled results", async () => {
    const [goldens, sample, context, cond] = await inputs();
    const channels = [2, 1, 0].map((i) => slice(cond, 1, i, 1));
    const flipped = Float32Array.from(
      await Promise.all(channels.map((channel) => channel.data())).then((parts) => {
        const size = parts[0].length / 2; // two images
        return [0, 1].flatMap((image) => parts.flatMap((part) => [...part.subarray(image * size, (image + 1) * size)]));
      }),
    );
    const bgr = Tensor.from(flipped, cond.shape);
    const model = await load({
      config: { controlnet_conditioning_channel_order: "bgr", global_pool_conditions: true },
    });
    const output = model.forward(sample, 321, context, bgr, { guessMode: true });
    for (const [result, name] of [
      [output.downBlockResSamples[4], "out.down.4"],
      [output.midBlockResSample, "out.mid"],
    ] as const) {
      const { shape, data } = goldens.get(name)!;
      const area = shape[2] * shape[3];
      const means = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) =>
        [...data.subarray(i * area, (i + 1) * area)].reduce((sum, x) => sum + x / area, 0),
      );
      const expected = { dtype: "F32", shape: [shape[0], shape[1], 1, 1], data: means };
      await expectMatches(result, expected, name, TOLERANCE.float32);
    }
    const made = [...output.downBlockResSamples, output.midBlockResSample, ...channels];
    for (const tensor of [sample, context, cond, bgr, ...made, model]) tensor.dispose();
  });

  test("refuses inputs that do not fit", async () => {
    const [, sample, context, cond] = await inputs();
    const model = await load();
    expect(() => model.forward(sample, 1, context, sample)).toThrow(
      "ControlNetModel: controlnetCond must be [2, 3, height, width], got [2, 4, 8, 8]",
    );
    const small = slice(cond, 2, 0, 32);
    expect(() => model.forward(sample, 1, context, small)).toThrow(
      "controlnetCond [32, 64] becomes [4, 8], but the sample has [8, 8]",
    );
    expect(() => model.forward(sample, [1, 2, 3], context, cond)).toThrow("one per image (2), got 3");
    for (const tensor of [sample, context, cond, small, model]) tensor.dispose();
  });

  const models = CONTROLNET_PICTURES.models.map((each) => ({ ...each, dtype: "float32" as const }));
  const half = { ...models.find(({ name }) => name === "xl")!, dtype: "float16" as const };
  for (const { name, dtype, shape, down, mid } of [...models, half])
    test(`${name} in ${dtype}, as diffusers`, async () => {
      const model = await controlNet(name, dtype);
      const inputs = [
        ramp(-1, 1, [2, 4, 6, 4]),
        ramp(2, -1, [2, 7, 56]),
        ramp(0, 1, [2, 3, 48, 32]),
        ramp(-2, 2, [2, 28]),
        Tensor.from(Float32Array.of(512, 640, 0, 8, 1024, 768, 64, 32, 4, 0, 32, 64), [2, 6]),
        ramp(-1, 1, [2, 9]),
      ] as const;
      const [sample, prompt, picture, textEmbeds, timeIds, vectors] = inputs;
      const classLabels = { classes: [3, 1], levels: [3, 1], vectors }[name];
      const addedCondKwargs = name === "xl" ? { textEmbeds, timeIds } : undefined;
      const draw = (options: ControlNetOptions): ControlNetOutput =>
        model.forward(sample, 321, prompt, picture, options);
      const { downBlockResSamples: all, midBlockResSample } = draw({ classLabels, addedCondKwargs });
      const last = all.at(-1)!;
      expect(last.shape).toEqual(shape);
      for (const [tensor, values] of [
        [last, down],
        [midBlockResSample, mid],
      ] as const)
        await expectMatches(
          tensor,
          { data: Float32Array.from(values), shape: [...tensor.shape], dtype: "F32" },
          name,
          TOLERANCE[dtype],
        );
      if (classLabels) expect(() => draw({})).toThrow("ControlNetModel: classLabels must be given");
      if (addedCondKwargs)
        expect(() => draw({})).toThrow('ControlNetModel: config addition_embed_type = "text_time" needs');
      if (name === "untold")
        expect(() => draw({ addedCondKwargs: { textEmbeds, timeIds } })).toThrow("addedCondKwargs was given");
      for (const each of [...inputs, ...all, midBlockResSample, model]) each.dispose();
    });

  test("names what it cannot compute", () => {
    expect(() => new ControlNetModel({ class_embed_type: "simple_projection" })).toThrow(
      'ControlNetModel: config class_embed_type = "simple_projection" is not supported',
    );
    expect(() => new ControlNetModel({ addition_embed_type: "text_time" })).toThrow(
      'ControlNetModel: config addition_embed_type = "text_time" needs addition_time_embed_dim',
    );
    expect(() => new ControlNetModel({ attention_head_dim: [8] })).toThrow("attention_head_dim needs 4 entries");
  });
});
