import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Generator, RawImage, StableDiffusionDepth2ImgPipeline } from "../../src/index.js";
import { depthRepository } from "../support/depth.js";
import { picture } from "../support/pictures.js";
import { runCLI } from "./run_cli.js";

const PROMPT = "a red circle on a white background";
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);

beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-cli-depth-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a saved model that sees depth draws on the command line: it takes --image, and --strength", async () => {
  await writeFile(inFolder("seen.png"), picture(53, 37).toPNG());
  const pipeline = await StableDiffusionDepth2ImgPipeline.fromPretrained(await depthRepository());
  const model = inFolder("model");
  await pipeline.savePretrained(model);
  const options = { numInferenceSteps: 3, strength: 0.7, image: picture(53, 37) };
  const { images } = await pipeline(PROMPT, { ...options, generator: new Generator("cpu").manualSeed(8) });
  pipeline.dispose();
  const call = ["generate", PROMPT, "--model", model, "--steps", "3", "--seed", "8", "-o", inFolder("drawn.png")];
  const given = ["--image", inFolder("seen.png")];
  const { code, stdout, stderr } = await runCLI([...call, ...given, "--strength", "0.7"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("drawn.png: 48x32, seed 8, ");
  expect((await RawImage.open(inFolder("drawn.png"))).data).toEqual(images[0].data);
  for (const [args, message] of [
    [[], "draws by the depth of a picture: --image FILE says of which one"],
    [[...given, "--mask", inFolder("seen.png")], "--mask does not go with a StableDiffusionDepth2ImgPipeline"],
  ] as const)
    expect(await runCLI([...call, ...args])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message) as string,
    });
});
