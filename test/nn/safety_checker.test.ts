import { describe, expect, test } from "vitest";
import { StableDiffusionSafetyChecker } from "../../src/nn/safety_checker.js";
import type { SafetyCheckerOutput } from "../../src/nn/safety_checker.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { fixturePath, readFixture } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
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

const scores = async (): Promise<Scores> =>
  (JSON.parse(new TextDecoder().decode(await readFixture("pipelines/safety.json"))) as { scores: Scores }).scores;

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
