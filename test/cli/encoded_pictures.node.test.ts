/** `webgpu-diffusers generate` with models that draw by what CLIP sees in a picture. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkEncoded } from "../../src/cli/encoded_pictures.js";
import { DiffusionPipeline, Generator, RawImage } from "../../src/index.js";
import { picture } from "../support/pictures.js";
import { unclipRepository } from "../support/unclip.js";
import { runCLI } from "./run_cli.js";

const PROMPT = "a photo of a cat";
let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "encoded-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));
const inFolder = (name: string): string => join(folder, name);

describe("webgpu-diffusers generate", () => {
  test("--image is what unCLIP and image variations draw like", async () => {
    const image = picture(37, 30);
    await writeFile(inFolder("seen.png"), image.toPNG());
    const rest = ["--image", inFolder("seen.png"), "--steps", "2", "--seed", "8", "-o", inFolder("like.png")];
    for (const kind of ["img2img", "variation"] as const) {
      const pipeline = await DiffusionPipeline.fromPretrained(await unclipRepository(kind));
      pipeline.setProgressBarConfig({ disable: true });
      await pipeline.savePretrained(inFolder(kind));
      const told = kind === "img2img" ? { prompt: PROMPT, noiseLevel: 100 } : {};
      const options = { ...told, numInferenceSteps: 2, generator: new Generator("cpu").manualSeed(8) };
      const { images } = (await pipeline(image, options)) as { images: RawImage[] };
      pipeline.dispose();
      const own = kind === "img2img" ? [PROMPT, "--noise-level", "100"] : [];
      const { code, stdout, stderr } = await runCLI(["generate", ...own, "--model", inFolder(kind), ...rest]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain(`like.png: ${images[0].width}x${images[0].height}, seed 8, `);
      expect((await RawImage.open(inFolder("like.png"))).data).toEqual(images[0].data);
    }
    for (const [className, given, values, message] of [
      ["StableDiffusionImageVariationPipeline", PROMPT, { image: "a.png" }, "takes no prompt"],
      ["StableDiffusionImageVariationPipeline", null, { image: "a.png", negative: "b" }, "--negative does not go with"],
      ["StableUnCLIPImg2ImgPipeline", PROMPT, {}, "draws pictures like a picture: --image FILE says which one"],
      ["StableUnCLIPImg2ImgPipeline", null, { image: "a.png", strength: "1" }, "--strength does not go with"],
      ["StableUnCLIPPipeline", PROMPT, { image: "a.png" }, "--image does not go with"],
      ["StableUnCLIPPipeline", null, {}, "no prompt given"],
      ["StableDiffusionPipeline", null, { image: "a.png" }, "no prompt given"],
    ] as const)
      expect(() => checkEncoded(className, given, values)).toThrow(message);
  });
});
