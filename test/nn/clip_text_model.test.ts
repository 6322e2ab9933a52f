import { describe, expect, test } from "vitest";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../src/nn/clip/clip_text_model.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { fixturePath } from "../support/files.js";
import { readGolden, type Golden } from "../support/goldens.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";

const CASES = [
  { golden: "sd15", repo: "sd15", subfolder: "text_encoder" },
  { golden: "sd15_short", repo: "sd15", subfolder: "text_encoder" },
  { golden: "sd21", repo: "sd21", subfolder: "text_encoder" },
  { golden: "sd21_short", repo: "sd21", subfolder: "text_encoder" },
  { golden: "sdxl_1", repo: "sdxl", subfolder: "text_encoder" },
  { golden: "sdxl_2", repo: "sdxl", subfolder: "text_encoder_2" },
  { golden: "variants_fp32", repo: "variants", subfolder: "text_encoder" },
  { golden: "variants_fp16file_fp32compute", repo: "variants", subfolder: "text_encoder", variant: "fp16" },
  // without the prefix text_model, as transformers 5 saves
  { golden: "variants_fp32", repo: "variants", subfolder: "text_encoder-tf5-sharded" },
] as const;

describe("CLIPTextModel", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, repo, subfolder, ...load } of CASES)
      test(`${golden} from ${subfolder} in ${dtype}`, async () => {
        const bound = TOLERANCE[dtype];
        const goldens = await readGolden(`models/gold/text/${golden}.safetensors`);
        const source = fixturePath(`models/repos/${repo}`);
        const options = { subfolder, dtype, ...load };
        const model = goldens.has("out.text_embeds")
          ? await CLIPTextModelWithProjection.fromPretrained(source, options)
          : await CLIPTextModel.fromPretrained(source, options);
        const ids = asTensor(goldens, "in.input_ids");
        const output = await model.forward(ids);
        const { lastHiddenState, hiddenStates } = output;
        await expectMatches(lastHiddenState, goldens.get("out.last_hidden_state"), "last_hidden_state", bound);
        const [pooled, name] =
          "textEmbeds" in output ? [output.textEmbeds, "text_embeds"] : [output.pooledOutput, "pooler_output"];
        await expectMatches(pooled, goldens.get(`out.${name}`), name, bound);
        for (const [i, state] of hiddenStates.entries()) {
          const expected = goldens.get(`out.hidden_states.${i}`);
          if (!expected) continue;
          // Early states are kept for the first text only.
          const rows = slice(state, 0, 0, expected.shape[0]);
          await expectMatches(rows, expected, `hidden_states.${i}`, bound);
          rows.dispose();
        }
        for (const tensor of [ids, lastHiddenState, pooled, ...hiddenStates, model]) tensor.dispose();
      });

  for (const dtype of ["float32", "float16"] as const)
    for (const repo of ["sd15", "sd21"])
      test(`${repo} with an attention mask in ${dtype}`, async () => {
        const goldens = await readGolden(`models/gold/text/${repo}_short.safetensors`);
        const source = fixturePath(`models/repos/${repo}`);
        const model = await CLIPTextModel.fromPretrained(source, { subfolder: "text_encoder", dtype });
        const [ids, attentionMask] = [asTensor(goldens, "in.input_ids"), asTensor(goldens, "in.attention_mask")];
        const { lastHiddenState, pooledOutput, hiddenStates } = await model.forward(ids, { attentionMask });
        const wanted = (name: string): Golden | undefined => goldens.get(`out.masked.${name}`);
        await expectMatches(lastHiddenState, wanted("last_hidden_state"), "last_hidden_state", TOLERANCE[dtype]);
        await expectMatches(pooledOutput, wanted("pooler_output"), "pooler_output", TOLERANCE[dtype]);
        for (const tensor of [ids, attentionMask, lastHiddenState, pooledOutput, ...hiddenStates, model])
          tensor.dispose();
      });

  test("refuses the config of a whole CLIP model by its key", () => {
    for (const Class of [CLIPTextModel, CLIPTextModelWithProjection])
      expect(() => new Class({ model_type: "clip", text_config: { hidden_size: 768 } })).toThrow(
        'config model_type = "clip" is not supported',
      );
    expect(new CLIPTextModel({ model_type: "clip_text_model" }).config.hidden_size).toBe(512);
  });

  test("counts its weights, with and without tables", () => {
    const model = new CLIPTextModel({
      vocab_size: 60,
      max_position_embeddings: 12,
      hidden_size: 8,
      num_hidden_layers: 1,
    });
    const tables = (60 + 12) * 8;
    expect(model.numParameters({ excludeEmbeddings: true })).toBe(model.numParameters() - tables);
    expect(model.numParameters({ onlyTrainable: true, excludeEmbeddings: null })).toBe(model.numParameters());
  });

  test("refuses ids that it has no row for, and rows of different lengths", async () => {
    const model = await CLIPTextModel.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "text_encoder" });
    await expect(model.forward([[1, 2514]])).rejects.toThrow(
      "token ids must be integers below vocab_size = 2514, got 2514",
    );
    await expect(model.forward([[1, 2], [1]])).rejects.toThrow("got lengths [2, 1]");
    for (const [attentionMask, fault] of [
      [[[1]], "attentionMask must be [1, 2] as the ids, got lengths [1]"],
      [[[1, 2]], "attentionMask holds ones and zeros only, got 2"],
      [[[0, 1]], "attentionMask must keep the first token"],
    ] as const)
      await expect(model.forward([[1, 2]], { attentionMask })).rejects.toThrow(fault);
    model.dispose();
  });
});
