import { beforeAll, describe, expect, test } from "vitest";
import {
  ControlNetUnionModel,
  MultiControlNetUnionModel,
  Tensor,
  type ControlNetUnionOptions,
} from "../../src/index.js";
import { CONTROLNET_UNION, controlNetUnion } from "../support/controlnet_union.js";
import { testDevice } from "../support/gpu.js";
import { expectMatches, TOLERANCE } from "../support/models.js";
import { camelCase } from "../support/pipelines.js";
import { ramp } from "../support/sdxl_pictures.js";

const { nets, models } = CONTROLNET_UNION;

/** Those of scripts/make_controlnet_union.py. */
const inputs = {
  sample: () => ramp(-1, 1, [2, 4, 6, 4]),
  prompt: () => ramp(2, -1, [2, 7, 56]),
  picture: (i: number) => ramp(0, 1 - 0.2 * i, [2, 3, 48, 32]),
  controlType(kinds: number, modes: readonly number[]): Tensor {
    const row = Array.from({ length: kinds }, (_, kind) => (modes.includes(kind) ? 1 : 0));
    return Tensor.from([row, row].flat(), [2, kinds]);
  },
  added: () => ({
    textEmbeds: ramp(-2, 2, [2, 28]),
    timeIds: Tensor.from(Float32Array.of(512, 640, 0, 8, 1024, 768, 64, 32, 4, 0, 32, 64), [2, 6]),
  }),
};

describe("ControlNetUnionModel", () => {
  beforeAll(testDevice);

  const all = models.map((each) => ({ ...each, dtype: "float32" as const }));
  const half = all.slice(2, 3).map((each) => ({ ...each, dtype: "float16" as const }));
  for (const { name, modes, options, dtype, shape, down, mid } of [...all, ...half])
    test(`${name} of ${modes.join(", ")}, ${JSON.stringify(options)}, in ${dtype}, as diffusers`, async () => {
      const model = await controlNetUnion(name, { dtype });
      const [sample, prompt] = [inputs.sample(), inputs.prompt()];
      const pictures = modes.map((_, i) => inputs.picture(i));
      const controlType = inputs.controlType(model.config.num_control_type, modes);
      const added = inputs.added();
      const vectors = ramp(-1, 1, [2, 9]);
      const given: ControlNetUnionOptions = {
        ...Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value])),
        classLabels: { vectors }[name],
        addedCondKwargs: model.config.addition_embed_type === "text_time" ? added : undefined,
      };
      const output = model.forward(sample, 321, prompt, pictures, controlType, modes, given);
      const last = output.downBlockResSamples.at(-1)!;
      expect(last.shape).toEqual(shape);
      for (const [tensor, values] of [
        [last, down],
        [output.midBlockResSample, mid],
      ] as const) {
        const wanted = { data: Float32Array.from(values), shape: [...tensor.shape], dtype: "F32" };
        await expectMatches(tensor, wanted, name, TOLERANCE[dtype]);
      }
      const made = [sample, prompt, ...pictures, controlType, ...Object.values(added), vectors];
      for (const each of [...made, ...output.downBlockResSamples, output.midBlockResSample, model]) each.dispose();
    });

  test("refuses inputs that do not fit", async () => {
    const model = await controlNetUnion("shallow");
    const [sample, prompt, picture] = [inputs.sample(), inputs.prompt(), inputs.picture(0)];
    const [kinds, others] = [inputs.controlType(2, [1]), inputs.controlType(3, [1])];
    const draw =
      (pictures: readonly Tensor[], controlType: Tensor, modes: readonly number[], options = {}) =>
      () =>
        model.forward(sample, 1, prompt, pictures, controlType, modes, options);
    expect(draw([], kinds, [])).toThrow("controlnetCond must be a list of Tensors, got []");
    expect(draw(picture as unknown as Tensor[], kinds, [1])).toThrow("controlnetCond must be a list of Tensors");
    expect(draw([picture, sample], kinds, [0, 1])).toThrow(
      "controlnetCond must be [2, 3, height, width], got [2, 4, 6, 4]",
    );
    expect(draw([picture], others, [1])).toThrow("controlType must be [2, 2], got [2, 3]");
    for (const modes of [[2], [-1], [0.5], [0, 1], 1 as unknown as number[]])
      expect(draw([picture], kinds, modes)).toThrow(
        "controlTypeIdx must be an integer from 0 to 1 for each of 1 pictures",
      );
    expect(draw([picture], kinds, [1], { conditioningScale: [1, 1] })).toThrow(
      "conditioningScale must be a number, or one for each of 1 pictures, got [1, 1]",
    );
    for (const each of [sample, prompt, picture, kinds, others, model]) each.dispose();
  });

  test("names what it cannot compute, and takes configs that are older than diffusers' class", () => {
    const { union } = nets;
    expect(() => new ControlNetUnionModel()).toThrow("config addition_time_embed_dim = null is not supported");
    expect(() => new ControlNetUnionModel({ ...union, num_trans_channel: 8 })).toThrow(
      "ControlNetUnionModel: config num_trans_channel = 8 is not supported: it must be the first of block_out_channels, 16",
    );
    expect(() => new ControlNetUnionModel({ ...union, num_trans_head: 3 })).toThrow(
      "config num_trans_head = 3 does not divide num_trans_channel = 16",
    );
    expect(() => new ControlNetUnionModel({ ...union, controlnet_conditioning_channel_order: "bgr" })).toThrow(
      'config controlnet_conditioning_channel_order = "bgr" is not supported',
    );
    for (const _class_name of ["ControlNetModel", "ControlNetModel_Union"])
      expect(new ControlNetUnionModel({ ...union, _class_name }).config.num_control_type).toBe(6);
    expect(() => new ControlNetUnionModel({ ...union, _class_name: "UNet2DConditionModel" })).toThrow(
      "the config is that of another class",
    );
    expect(() => new MultiControlNetUnionModel([])).toThrow(
      "MultiControlNetUnionModel: takes a list of ControlNetUnionModels, such as",
    );
  });
});
