import { afterAll, describe, expect, test } from "vitest";
import { DiffusionPipeline, EMBEDDED_MODEL, type StableDiffusionPipeline } from "../../src/index.js";
import { offGolden, shapesGoldens } from "../support/shapes.js";

const goldens = (await shapesGoldens()).filter(({ file }) => !file.startsWith("0-"));
// In Node alone: a browser draws one prompt under each scheduler (shapes.test.ts), by the same code.
let loaded: Promise<StableDiffusionPipeline> | undefined;

describe("the embedded model, other prompts", () => {
  afterAll(async () => (await loaded)?.dispose());

  for (const golden of goldens)
    test(`${golden.scheduler}, seed ${golden.seed}: ${golden.prompt}`, async () => {
      loaded ??= DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL);
      // As in shapes.test.ts.
      expect(await offGolden(await loaded, golden)).toBeLessThan(1 / 255);
    });
});
