/** Small UNets of many configs, beyond those of the fixtures: scripts/make_unet_zoo.py made what diffusers computes. */
import { beforeAll, describe, expect, test } from "vitest";
import type { FreeUFactors } from "../../src/nn/unet/freeu.js";
import { UNet2DModel } from "../../src/nn/unet/unet_2d.js";
import { UNet2DConditionModel } from "../../src/nn/unet/unet_2d_condition.js";
import { ensureDevice } from "../../src/tensor/device.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { readFixtureJSON } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import { hashOfShapes, madeRepository, shapesOf } from "../support/made_weights.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";

interface Entry {
  name: string;
  timestep: number[];
  freeu: FreeUFactors | null;
  /** A hash of all keys and shapes. */
  keys: number;
  config: { _class_name: string } & Record<string, unknown>;
}

const ENTRIES = await readFixtureJSON<Entry[]>("models/zoo/zoo.json");
/** In float16 too: what no fixture has. */
const HALF = /^(ncsnpp|k_upscaler|simple_group_norm|odd_channels|freeu)$/;

describe("the zoo", () => {
  let goldens: Map<string, Golden>;
  beforeAll(async () => {
    goldens = await readGolden("models/zoo/zoo.safetensors");
    await ensureDevice();
  });

  for (const entry of ENTRIES)
    for (const dtype of HALF.test(entry.name) ? (["float32", "float16"] as const) : (["float32"] as const))
      test(`${entry.name} in ${dtype}`, async () => {
        const { name, timestep, config, freeu, keys } = entry;
        const plain = config._class_name === "UNet2DModel";
        const empty = plain ? new UNet2DModel(config) : new UNet2DConditionModel(config);
        expect(hashOfShapes(shapesOf(empty))).toBe(keys);
        const source = madeRepository(name, config, empty);
        const input = (key: string): Tensor => asTensor(goldens, `${name}.in.${key}`);
        const given = (key: string): Tensor | undefined => (goldens.has(`${name}.in.${key}`) ? input(key) : undefined);
        const device = await ensureDevice();
        const unconditional = plain && (await UNet2DModel.fromPretrained(source, { dtype }));
        const conditional = !plain && (await UNet2DConditionModel.fromPretrained(source, { dtype }));
        const { sample } = device.scope(() => {
          const classLabels = given("class_labels");
          if (unconditional) return unconditional.forward(input("sample"), timestep, { classLabels });
          if (!conditional) throw new Error("one of the two was loaded");
          if (freeu) conditional.enableFreeu(freeu);
          const [textEmbeds, timeIds] = [given("text_embeds"), given("time_ids")];
          return conditional.forward(input("sample"), timestep, input("encoder_hidden_states"), {
            classLabels,
            timestepCond: given("timestep_cond"),
            encoderAttentionMask: given("encoder_attention_mask"),
            addedCondKwargs: textEmbeds && { textEmbeds, timeIds },
          });
        });
        await expectMatches(sample, goldens.get(`${name}.out`), `${name}.out`, TOLERANCE[dtype]);
        sample.dispose();
        if (unconditional) unconditional.dispose();
        if (conditional) conditional.dispose();
      });
});
