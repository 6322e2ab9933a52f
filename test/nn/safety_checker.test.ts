import { describe, expect, test } from "vitest";
import { StableDiffusionSafetyChecker } from "../../src/nn/clip/safety_checker.js";
import type { SafetyCheckerOutput } from "../../src/nn/clip/safety_checker.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { CLIPVisionModelWithProjection } from "../../src/nn/clip/clip_vision_model.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { changed, parseSafetensors, writeSafetensors } from "../support/repositories.js";
import { asTensor, expectMatches, TOLERANCE } from "../support/models.js";

interface Scores {
  flags: boolean[];
  /** Not rounded. */
  special: number[][];
  concepts: number[][];
}

const REPO = fixturePath("models/repos/sd15-safe");
/** As published, by transformers 4, and as transformers 5 saves it. */
const SPELLINGS = [{ subfolder: "safety_checker" }, { subfolder: "safety_checker-tf5", variant: "fp16" }] as const;

const scores = async (): Promise<Scores> => (await readFixtureJSON<{ scores: Scores }>("pipelines/safety.json")).scores;

/** Scores to within a bound, and rounded to thousandths. */
function expectScores({ scores: found, hasNsfwConcepts }: SafetyCheckerOutput, wanted: Scores, bound: number): void {
  expect(hasNsfwConcepts).toEqual(wanted.flags);
  for (const [name, key] of [
    ["special", "specialScores"],
    ["concepts", "conceptScores"],
  ] as const)
    found.forEach((each, i) =>
      each[key].forEach((score, j) => {
        expect(Math.abs(score - wanted[name][i][j]), `${name} ${i} ${j}`).toBeLessThan(bound + 0.00051);
        expect(Math.fround(Math.round(score * 1000) / 1000), `${name} ${i} ${j}`).toBe(score);
      }),
    );
  for (const { conceptScores, badConcepts, specialScores, specialCare } of found) {
    expect(badConcepts).toEqual(conceptScores.flatMap((score, i) => (score > 0 ? [i] : [])));
    expect(specialCare).toEqual(specialScores.flatMap((score, i) => (score > 0 ? [i] : [])));
  }
}

describe("StableDiffusionSafetyChecker", () => {
  for (const load of SPELLINGS)
    for (const dtype of ["float32", "float16"] as const)
      test(`${load.subfolder} in ${dtype}`, async () => {
        const goldens = await readGolden("models/gold/safety/checker.safetensors");
        const checker = await StableDiffusionSafetyChecker.fromPretrained(REPO, { ...load, dtype });
        // Its weights are those of the goldens, rounded.
        const bound = "variant" in load ? TOLERANCE.float16 : TOLERANCE[dtype];
        const input = asTensor(goldens, "in.clip_input");
        const { lastHiddenState, pooledOutput } = checker.vision_model.vision_model.forward(input);
        const kept = slice(lastHiddenState, 0, 0, 2);
        await expectMatches(kept, goldens.get("out.last_hidden_state"), "last_hidden_state", bound);
        await expectMatches(pooledOutput, goldens.get("out.pooler_output"), "pooler_output", bound);
        const embeds = checker.embed(input);
        await expectMatches(embeds, goldens.get("out.image_embeds"), "image_embeds", bound);
        expectScores(await checker.forward(input), await scores(), bound);
        for (const tensor of [input, kept, lastHiddenState, pooledOutput, embeds, checker]) tensor.dispose();
      });
});

describe("its config", () => {
  const checker = (config: object): StableDiffusionSafetyChecker =>
    new StableDiffusionSafetyChecker({ ...config } as Record<string, unknown>);
  const SMALL = { hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2, image_size: 16 };

  test("of 2022: what vision_config_dict says counts, and the defaults of what it does not say", () => {
    const { config } = checker({
      vision_config: { ...SMALL, hidden_size: 12, patch_size: 4, hidden_act: "gelu", num_beams: 1 },
      vision_config_dict: { ...SMALL, patch_size: 8 },
      projection_dim: 6,
    });
    const { vision_config: vision } = config;
    // transformers: CLIPVisionConfig(**vision_config_dict) over vision_config
    expect([vision.hidden_size, vision.patch_size, vision.hidden_act]).toEqual([8, 8, "quick_gelu"]);
    expect((vision as unknown as { num_beams: number }).num_beams).toBe(1);
    expect("vision_config_dict" in config).toBe(false);
    expect(checker({}).config.vision_config.hidden_size).toBe(768);
    expect(checker({ vision_config: null, text_config: null }).config.projection_dim).toBe(512);
  });

  test("values that nothing computes are refused by name", () => {
    const wrong = (config: object) => () => checker({ vision_config: { ...SMALL, patch_size: 8, ...config } });
    expect(wrong({ hidden_act: "relu" })).toThrow(
      'StableDiffusionSafetyChecker, vision_config: config hidden_act = "relu" is not supported',
    );
    expect(wrong({ image_size: [16, 16] })).toThrow("config image_size = ");
    expect(wrong({ patch_size: 17 })).toThrow("config patch_size = 17 is larger than image_size = 16");
    expect(wrong({ num_attention_heads: 3 })).toThrow("num_attention_heads = 3 does not divide hidden_size = 8");
    expect(() => checker({ vision_config: 3 })).toThrow("config vision_config must be an object, got 3");
    expect(() => checker({ projection_dim: 0 })).toThrow("config projection_dim = 0");
  });
});

test("pictures of another size, and embeddings that are no numbers, are refused", async () => {
  const checker = await StableDiffusionSafetyChecker.fromPretrained(REPO, { subfolder: "safety_checker" });
  const pixels = (shape: number[], value = 0.5): Tensor =>
    Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape, { device: checker.device });
  const [small, grey, huge] = [pixels([1, 3, 24, 30]), pixels([1, 1, 30, 30]), pixels([2, 3, 30, 30], Infinity)];
  await expect(checker.forward(small)).rejects.toThrow("takes pictures of 30x30 pixels (image_size), got 30x24");
  await expect(checker.forward(grey)).rejects.toThrow("takes [batch, 3, height, width], got [1, 1, 30, 30]");
  await expect(checker.forward([1] as never)).rejects.toThrow("clipInput must be a Tensor");
  await expect(checker.forward(huge)).rejects.toThrow("safety_checker: numbers are infinite or NaN");
  for (const each of [small, grey, huge, checker]) each.dispose();
});

test("CLIPVisionModelWithProjection is its vision model alone", async () => {
  const goldens = await readGolden("models/gold/safety/checker.safetensors");
  const bytes = await readFixture("models/repos/sd15-safe/safety_checker/model.safetensors");
  const tensors = [...parseSafetensors(bytes)]
    .filter(([key]) => /^vis/.test(key))
    .map(([key, tensor]) => [key.replace("vision_model.", ""), tensor] as const);
  const config = await readFixtureJSON<{ vision_config: object }>("models/repos/sd15-safe/safety_checker/config.json");
  const source = await changed(REPO, {
    "config.json": { ...config.vision_config, projection_dim: 16 },
    "model.safetensors": writeSafetensors(new Map(tensors)),
  });
  const model = await CLIPVisionModelWithProjection.fromPretrained(source);
  const input = asTensor(goldens, "in.clip_input");
  const { imageEmbeds, lastHiddenState } = model.forward(input);
  await expectMatches(imageEmbeds, goldens.get("out.image_embeds"), "image_embeds", TOLERANCE.float32);
  expect(lastHiddenState.shape).toEqual([input.shape[0], 17, 32]);
  expect([...model.parameters()][0][0]).toBe("vision_model.embeddings.class_embedding");
  expect((JSON.parse(model.toJsonString()) as Record<string, unknown>).model_type).toBe("clip_vision_model");
  for (const each of [input, imageEmbeds, lastHiddenState, model]) each.dispose();
});
