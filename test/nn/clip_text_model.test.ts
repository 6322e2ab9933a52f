import { describe, expect, test } from "vitest";
import { CLIPTextModel } from "../../src/nn/clip_text_model.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { fixturePath } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";

const CASES = [
  { golden: "sd15", repo: "sd15" },
  { golden: "sd15_short", repo: "sd15" },
  { golden: "sd21", repo: "sd21" },
  { golden: "sd21_short", repo: "sd21" },
] as const;

describe("CLIPTextModel", () => {
  for (const dtype of ["float32", "float16"] as const)
    for (const { golden, repo } of CASES)
      test(`${golden} in ${dtype}`, async () => {
        const goldens = await readGolden(`models/gold/text/${golden}.safetensors`);
        const model = await CLIPTextModel.fromPretrained(fixturePath(`models/repos/${repo}`), {
          subfolder: "text_encoder",
          dtype,
        });
        const ids = asTensor(goldens, "in.input_ids");
        const { lastHiddenState, pooledOutput, hiddenStates } = await model.forward(ids);
        await expectMatches(
          lastHiddenState,
          goldens.get("out.last_hidden_state"),
          "last_hidden_state",
          TOLERANCE[dtype],
        );
        await expectMatches(pooledOutput, goldens.get("out.pooler_output"), "pooler_output", TOLERANCE[dtype]);
        for (const [i, state] of hiddenStates.entries()) {
          const expected = goldens.get(`out.hidden_states.${i}`);
          if (!expected) continue;
          // Early states are kept for the first text only.
          const rows = slice(state, 0, 0, expected.shape[0]);
          await expectMatches(rows, expected, `hidden_states.${i}`, TOLERANCE[dtype]);
          rows.dispose();
        }
        for (const tensor of [ids, lastHiddenState, pooledOutput, ...hiddenStates, model]) tensor.dispose();
      });

  test("refuses ids that it has no row for, and rows of different lengths", async () => {
    const model = await CLIPTextModel.fromPretrained(fixturePath("models/repos/sd15"), { subfolder: "text_encoder" });
    await expect(model.forward([[1, 2514]])).rejects.toThrow(
      "token ids must be integers below vocab_size = 2514, got 2514",
    );
    await expect(model.forward([[1, 2], [1]])).rejects.toThrow("got lengths [2, 1]");
    model.dispose();
  });
});
