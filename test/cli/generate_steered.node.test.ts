// What is drawn as another picture says: ControlNets and T2I-Adapters.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ControlNetModel,
  Generator,
  RawImage,
  StableDiffusionAdapterPipeline,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionControlNetPipeline,
} from "../../src/index.js";
import { checkPictures } from "../../src/cli/arguments.js";
import { controlNet } from "../support/controlnet_pictures.js";
import { fixturePath } from "../support/files.js";
import { picture } from "../support/pictures.js";
import { t2iAdapter } from "../support/t2i_adapter.js";
import { runCLI } from "./run_cli.js";

const PROMPT = "a red circle on a white background";
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);

beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-cli-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("webgpu-diffusers generate, steered", () => {
  test("--controlnet draws what its picture says", async () => {
    const [sd, net] = ["sd15", "controlnet"].map((name) => fixturePath(`models/repos/${name}`));
    const image = picture(50, 43);
    await writeFile(inFolder("edges.png"), image.toPNG());
    const given = ["--model", sd, "--controlnet", net, "--image", inFolder("edges.png")];
    const args = [...given, "--steps", "2", "--seed", "8", "-o", inFolder("steered.png")];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/steered\.png: 48x40, seed 8, /);
    const controlnet = await ControlNetModel.fromPretrained(net);
    const pipeline = await StableDiffusionControlNetPipeline.fromPretrained(sd, { controlnet });
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline(PROMPT, { numInferenceSteps: 2, generator, image });
    pipeline.dispose();
    expect((await RawImage.open(inFolder("steered.png"))).data).toEqual(images[0].data);
    for (const [wrong, message] of [
      [["--controlnet", net], "--controlnet needs --image FILE"],
      [[...given, "--strength", "0.5"], "--strength does not go with --controlnet and --image alone"],
      [["--control-image", "edges.png"], "--control-image needs --controlnet DIR"],
    ] as const) {
      const refused = await runCLI(["generate", PROMPT, ...wrong, "-o", inFolder("x.png")]);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(message) as string });
    }
  });

  test("--adapter draws what its picture says", async () => {
    const [sd, folder] = [fixturePath("models/repos/sd15"), inFolder("adapter")];
    const image = picture(50, 43);
    await writeFile(inFolder("sketch.png"), image.toPNG());
    const adapter = await t2iAdapter("full");
    await adapter.savePretrained(folder);
    const given = ["--model", sd, "--adapter", folder, "--control-image", inFolder("sketch.png")];
    const args = [...given, "--steps", "2", "--seed", "8", "-o", inFolder("sketched.png")];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/sketched\.png: 48x40, seed 8, /);
    const pipeline = await StableDiffusionAdapterPipeline.fromPretrained(sd, { adapter });
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline(PROMPT, { numInferenceSteps: 2, generator, image });
    pipeline.dispose();
    expect((await RawImage.open(inFolder("sketched.png"))).data).toEqual(images[0].data);
    for (const [wrong, message] of [
      [{ adapter: folder }, "--adapter needs --control-image FILE"],
      [{ adapter: folder, image: "a.png", "control-image": "b.png" }, "and no other"],
      [{ adapter: folder, image: "a.png", controlnet: folder }, "--controlnet does not go with --adapter"],
      [{ "control-image": "b.png" }, "or --adapter DIR"],
    ] as const)
      expect(() => checkPictures(wrong)).toThrow(message);
  });

  test("--control-image is what a ControlNet reads, beside --image and --mask to begin with; of XL, too", async () => {
    const [sd, net] = ["sd15", "controlnet"].map((name) => fixturePath(`models/repos/${name}`));
    const [image, read, maskImage] = [picture(48, 32), picture(50, 43), picture(20, 20)];
    for (const [name, each] of Object.entries({ image, read, mask: maskImage }))
      await writeFile(inFolder(`${name}.png`), each.toPNG());
    const drawnBy = async (model: string, controlnet: string, ...args: string[]): Promise<RawImage> => {
      const steered = [
        "--controlnet",
        controlnet,
        "--control-image",
        inFolder("read.png"),
        "--image",
        inFolder("image.png"),
      ];
      const shared = ["--model", model, "--steps", "2", "--seed", "8", "-o", inFolder("begun.png")];
      const { code, stderr } = await runCLI(["generate", PROMPT, ...steered, ...shared, ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return RawImage.open(inFolder("begun.png"));
    };
    const controlnet = await ControlNetModel.fromPretrained(net);
    const img2img = await StableDiffusionControlNetImg2ImgPipeline.fromPretrained(sd, { controlnet });
    const inpaint = StableDiffusionControlNetInpaintPipeline.fromPipe(img2img);
    const options = { numInferenceSteps: 2, image, controlImage: read };
    const seeded = (): Generator => new Generator("cpu").manualSeed(8);
    const { images: from } = await img2img(PROMPT, { ...options, strength: 0.5, generator: seeded() });
    expect((await drawnBy(sd, net, "--strength", "0.5")).data).toEqual(from[0].data);
    const size = { height: 40, width: 32 };
    const { images: into } = await inpaint(PROMPT, { ...options, ...size, maskImage, generator: seeded() });
    expect((await drawnBy(sd, net, "--mask", inFolder("mask.png"), "--size", "32x40")).data).toEqual(into[0].data);
    img2img.dispose();
    const xl = inFolder("xl-net");
    await (await controlNet("xl")).savePretrained(xl);
    const { width, height } = await drawnBy(fixturePath("models/repos/sdxl"), xl);
    expect([width, height]).toEqual([48, 32]);
  });
});
