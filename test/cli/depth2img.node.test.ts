import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkDepth } from "../../src/cli/arguments.js";
import { RawImage, StableDiffusionDepth2ImgPipeline } from "../../src/index.js";
import { DEPTH, depthRepository } from "../support/depth.js";
import { picture } from "../support/pictures.js";
import { runCLI } from "./run_cli.js";

let folder: string;
const inFolder = (name: string): string => path.join(folder, name);

beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-cli-depth-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a saved model that sees depth draws on the command line as diffusers: it takes --image, and --strength", async () => {
  const { images } = DEPTH.runs.find(({ options }) => options.output_type === "np")!;
  await writeFile(inFolder("seen.png"), picture(48, 32).toPNG());
  const pipeline = await StableDiffusionDepth2ImgPipeline.fromPretrained(await depthRepository());
  await pipeline.savePretrained(inFolder("model"));
  pipeline.dispose();
  const { code, stdout, stderr } = await runCLI([
    ...[
      "generate",
      "a photo of a cat",
      "--model",
      inFolder("model"),
      "--scheduler",
      "DDIM",
      "--steps",
      "4",
      "--seed",
      "8",
    ],
    ...["--image", inFolder("seen.png"), "--strength", "0.4", "-o", inFolder("drawn.png")],
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("drawn.png: 48x32, seed 8, DDIMScheduler, 4 steps, ");
  const { data } = await RawImage.open(inFolder("drawn.png"));
  // Goldens have three places.
  images.forEach((value, i) => expect(Math.abs(data[i] - 255 * value)).toBeLessThan(1.2));
});

test("what does not go with it is refused", () => {
  const { className } = StableDiffusionDepth2ImgPipeline;
  expect(() => checkDepth(className, {})).toThrow("draws by the depth of a picture: --image FILE says of which one");
  const image = "a.png";
  expect(() => checkDepth(className, { image, mask: image })).toThrow(`--mask does not go with a ${className}`);
  expect(() => checkDepth(className, { image, controlnet: "a" })).toThrow("--controlnet does not go with");
  checkDepth(className, { image });
  checkDepth("StableDiffusionPipeline", {});
});
