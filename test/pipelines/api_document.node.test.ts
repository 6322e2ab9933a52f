// The program of docs/api.md, which shows at a glance how things are done, run from top to bottom.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { RawImage, type StableDiffusionPipeline } from "../../src/index.js";
import { programsOf, runProgram } from "../support/guide_node.js";

const folder = mkdtempSync(path.join(os.tmpdir(), "api-document-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("at a glance", async () => {
  const [program, ...others] = programsOf("api.md");
  expect(others).toEqual([]);
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const here = ["star.png", "sheet.png", "folder"].reduce(
    (code, name) => code.replace(`("${name}")`, `(${JSON.stringify(path.join(folder, name))})`),
    program,
  );
  const names = ["weights", "peak", "pipeline", "images", "sheet"] as const;
  const { weights, peak, pipeline, images, sheet } = (await runProgram(here, names)) as {
    weights: number;
    peak: number;
    pipeline: StableDiffusionPipeline;
    images: RawImage[];
    sheet: RawImage;
  };
  const printed = log.mock.calls.map(([text]) => String(text));
  log.mockRestore();

  expect(peak).toBeGreaterThan(weights);
  expect(pipeline.dtype).toBe("float16");
  expect(pipeline.scheduler.config).toMatchObject({ use_karras_sigmas: true });
  expect(images).toHaveLength(2);
  // A red circle: few pixels, on white.
  const { data } = images[0];
  const count = (isOne: (r: number, g: number) => boolean): number =>
    data.filter((_, i) => i % 3 === 0 && isOne(data[i], data[i + 1])).length;
  expect(count((r, g) => r - g > 100)).toBeGreaterThan(200);
  expect(count((r, g) => Math.min(r, g) > 200)).toBeGreaterThan(2000);
  expect(printed).toContain("UNet2DConditionModel: 100 %");
  expect(printed).toContain("step 20 of 20");
  expect((await RawImage.open(path.join(folder, "star.png"))).width).toBe(64);
  expect((await RawImage.open(path.join(folder, "sheet.png"))).width).toBe(sheet.width);
  expect(existsSync(path.join(folder, "folder", "model_index.json"))).toBe(true);
});
