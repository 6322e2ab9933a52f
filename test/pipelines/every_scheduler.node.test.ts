import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  EMBEDDED_MODEL,
  Generator,
  schedulerClass,
  type RawImage,
  type StableDiffusionPipeline,
} from "../../src/index.js";

/** Steps that a scheduler needs with this model (models/README.md); 20 for the others. */
const STEPS: Record<string, number> = { PNDMScheduler: 50, LMSDiscreteScheduler: 50, DPMSolverMultistepScheduler: 10 };

/** Pixels of the shape's colour, and whether the four corners are near white. */
function look(image: RawImage): { red: number; white: boolean } {
  const { width, height, data } = image;
  const pixel = (x: number, y: number): number[] =>
    Array.from(data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3));
  let red = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [r, g, b] = pixel(x, y);
      if (r > 150 && g < 100 && b < 100) red++;
    }
  const corners = [pixel(1, 1), pixel(width - 2, 1), pixel(1, height - 2), pixel(width - 2, height - 2)];
  return { red, white: corners.flat().every((value) => value > 190) };
}

describe("the embedded model draws a red circle on white under", () => {
  let pipeline: StableDiffusionPipeline;
  beforeAll(async () => {
    pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL);
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());

  async function draw(
    scheduler: string,
    config: object,
    numInferenceSteps: number,
  ): Promise<{ red: number; white: boolean }> {
    const original = pipeline.scheduler;
    pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config, config);
    try {
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await pipeline("a red circle on a white background", {
        numInferenceSteps,
        guidanceScale: 3,
        generator,
      });
      return look(images[0]);
    } finally {
      pipeline.scheduler = original;
    }
  }

  // EDMEuler is compatible by name only: its schedule is not this model's, and diffusers draws the same ruin (164 red pixels).
  test("not EDMEuler, as in diffusers", async () => {
    const { red, white } = await draw("EDMEulerScheduler", {}, 20);
    expect(Math.abs(red - 164)).toBeLessThan(10);
    expect(white).toBe(false);
  });

  const names = [
    "DDIM",
    "DDPM",
    "PNDM",
    "LMSDiscrete",
    "EulerDiscrete",
    "HeunDiscrete",
    "EulerAncestralDiscrete",
    "DPMSolverMultistep",
    "DPMSolverSinglestep",
    "KDPM2Discrete",
    "KDPM2AncestralDiscrete",
    "DEISMultistep",
    "UniPCMultistep",
    "DPMSolverSDE",
    "SASolver",
    "LCM",
    "TCD",
  ];
  for (const name of names)
    test(name, async () => {
      const scheduler = `${name}Scheduler`;
      const { red, white } = await draw(scheduler, {}, STEPS[scheduler] ?? 20);
      expect(red).toBeGreaterThan(200);
      expect(white).toBe(true);
    });

  test("LCM's four steps", async () => {
    const { red } = await draw("LCMScheduler", {}, 4);
    expect(red).toBeGreaterThan(200);
  });
});
