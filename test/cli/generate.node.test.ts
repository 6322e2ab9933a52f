import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  EMBEDDED_MODEL,
  Generator,
  RawImage,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  type StableDiffusionInstructPix2PixPipeline,
  StableDiffusionPipeline,
} from "../../src/index.js";
import { folderFiles, oneCommit, startFakeHub, type Fault, type Seen } from "../support/fake_hub_node.js";
import { fixturePath } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { withUNet } from "../support/other_unet.js";
import { picture } from "../support/pictures.js";
import { decodePNG } from "./decode_png.js";
import { loraFile, type LoraGolden } from "../support/lora.js";
import { embeddingFile } from "../support/textual_inversion.js";
import { upscaleRepository } from "../support/upscale.js";
import { runCLI } from "./run_cli.js";

const PROMPT = "a red circle on a white background";
let folder: string;
const inFolder = (name: string): string => path.join(folder, name);

beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-cli-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("webgpu-diffusers generate", () => {
  test("draws a red circle on white", async () => {
    const file = inFolder("circle.png");
    const args = ["--steps", "25", "--scheduler", "DDIM", "--seed", "8", "-o", file];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\S*circle\.png: 64x64, seed 8, DDIMScheduler, 25 steps, [\d.]+ s\n$/);
    const { width, height, at } = decodePNG(await readFile(file));
    expect([width, height]).toEqual([64, 64]);
    // As diffusers draws it; its darkest corner is 194, 199, 191, and a step of 255 may round either way.
    const golden = (await readGolden("shapes/0-DDIMScheduler.safetensors")).get("image")!.data;
    let difference = 0;
    for (let y = 0; y < 64; y++)
      for (let x = 0; x < 64; x++)
        at(x, y).forEach((value, c) => (difference += Math.abs(value - 255 * golden[3 * (64 * y + x) + c])));
    expect(difference / golden.length).toBeLessThan(1);
    const corners = [at(0, 0), at(63, 0), at(0, 63), at(63, 63)];
    expect(Math.min(...corners.flat())).toBeGreaterThan(185);
    let [red, sumX, sumY] = [0, 0, 0];
    for (let y = 0; y < 64; y++)
      for (let x = 0; x < 64; x++) {
        const [r, g, b] = at(x, y);
        if (r > 150 && g < 110 && b < 110) [red, sumX, sumY] = [red + 1, sumX + x, sumY + y];
      }
    // A circle of a radius from 8 to 28 pixels, red in its middle.
    expect(red).toBeGreaterThan(Math.PI * 8 ** 2);
    expect(red).toBeLessThan(Math.PI * 28 ** 2);
    const [r, g, b] = at(Math.round(sumX / red), Math.round(sumY / red));
    expect(r).toBeGreaterThan(150);
    expect(Math.max(g, b)).toBeLessThan(110);
  });

  test("the same seed gives the same bytes, another seed others", async () => {
    const draw = async (name: string, seed: string): Promise<Buffer> => {
      const args = ["--steps", "2", "--seed", seed, "--output", inFolder(name)];
      const { code, stderr } = await runCLI(["generate", PROMPT, ...args]);
      expect(stderr).toBe("");
      expect(code).toBe(0);
      return readFile(inFolder(name));
    };
    const first = await draw("first.png", "12");
    expect((await draw("second.png", "12")).equals(first)).toBe(true);
    expect((await draw("third.png", "13")).equals(first)).toBe(false);
  });

  test("--image begins with a picture, of whose size the result is", async () => {
    const grey = new RawImage(48, 40, new Uint8ClampedArray(48 * 40).fill(200), 1);
    await writeFile(inFolder("grey.png"), grey.toPNG());
    const image = ["--image", inFolder("grey.png")];
    const args = [...image, "--strength", "0.5", "--steps", "4", "--seed", "8", "-o", inFolder("from_grey.png")];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/from_grey\.png: 48x40, seed 8, /);
    const pipeline = await StableDiffusionImg2ImgPipeline.fromPretrained(EMBEDDED_MODEL);
    const options = { strength: 0.5, numInferenceSteps: 4, guidanceScale: 3 };
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline(PROMPT, { ...options, generator, image: grey });
    pipeline.dispose();
    expect((await RawImage.open(inFolder("from_grey.png"))).data).toEqual(images[0].data);
    const refused = await runCLI(["generate", PROMPT, "--image", inFolder("circle.jpg"), "-o", inFolder("x.png")]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("circle.jpg") as string });
  });

  test("--mask draws into a picture, where it is white", async () => {
    const grey = new RawImage(50, 43, new Uint8ClampedArray(50 * 43).fill(200), 1);
    const maskImage = new RawImage(50, 43, new Uint8ClampedArray(50 * 43).fill(255, 50 * 20), 1);
    await writeFile(inFolder("whole.png"), grey.toPNG());
    await writeFile(inFolder("mask.png"), maskImage.toPNG());
    const pictures = ["--image", inFolder("whole.png"), "--mask", inFolder("mask.png")];
    const args = [...pictures, "--steps", "3", "--seed", "8", "-o", inFolder("masked.png")];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/masked\.png: 48x40, seed 8, /);
    const pipeline = await StableDiffusionInpaintPipeline.fromPretrained(EMBEDDED_MODEL);
    const options = { numInferenceSteps: 3, guidanceScale: 3, height: 40, width: 48 };
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline(PROMPT, { ...options, generator, image: grey, maskImage });
    pipeline.dispose();
    expect((await RawImage.open(inFolder("masked.png"))).data).toEqual(images[0].data);
    const alone = await runCLI(["generate", PROMPT, "--mask", inFolder("mask.png"), "-o", inFolder("x.png")]);
    expect(alone).toMatchObject({ code: 2, stderr: expect.stringContaining("--mask needs --image FILE") as string });
  });

  test("--image is made larger by the upscalers' models", async () => {
    const small = picture(12, 8);
    const large = picture(64, 32);
    await writeFile(inFolder("small.png"), small.toPNG());
    await writeFile(inFolder("large.png"), large.toPNG());
    const steps = ["--steps", "2", "--seed", "8", "-o", inFolder("upscaled.png")];
    for (const [kind, file, image, size] of [
      ["x4", "small.png", small, "48x32"],
      ["x2", "large.png", large, "128x64"],
    ] as const) {
      const pipeline = await DiffusionPipeline.fromPretrained(await upscaleRepository(kind));
      pipeline.setProgressBarConfig({ disable: true });
      await pipeline.savePretrained(inFolder(kind));
      const level = kind === "x4" ? { noiseLevel: 100 } : {};
      const options = { ...level, numInferenceSteps: 2, image, generator: new Generator("cpu").manualSeed(8) };
      const { images } = (await pipeline(PROMPT, options)) as { images: RawImage[] };
      pipeline.dispose();
      const noise = kind === "x4" ? ["--noise-level", "100"] : [];
      const args = ["generate", PROMPT, "--model", inFolder(kind), "--image", inFolder(file), ...noise, ...steps];
      const { code, stdout, stderr } = await runCLI(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain(`upscaled.png: ${size}, seed 8, `);
      expect((await RawImage.open(inFolder("upscaled.png"))).data).toEqual(images[0].data);
    }
    for (const [given, message] of [
      [
        ["--model", inFolder("x4")],
        "a StableDiffusionUpscalePipeline makes pictures larger: --image FILE says which one",
      ],
      [
        ["--model", inFolder("x4"), "--strength", "0.5"],
        "--strength does not go with a StableDiffusionUpscalePipeline",
      ],
      [
        ["--model", inFolder("x2"), "--noise-level", "3"],
        "--noise-level does not go with a StableDiffusionLatentUpscalePipeline",
      ],
      [["--noise-level", "3"], "--noise-level is for models that make pictures larger, and for unCLIP's"],
    ] as const) {
      const image = given.length === 2 && given[0] === "--model" ? [] : ["--image", inFolder("small.png")];
      const refused = await runCLI(["generate", PROMPT, ...given, ...image, ...steps]);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining(message) as string });
    }
    const compared = await runCLI(["compare", PROMPT, "--model", inFolder("x4"), ...steps]);
    expect(compared).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("only generate --image FILE draws") as string,
    });
  });

  test("--cpu-offload draws the same in less memory, of which info tells", async () => {
    const args = ["generate", PROMPT, "--steps", "2", "--seed", "8", "-o"];
    for (const options of [["plain.png"], ["offload.png", "--cpu-offload"]]) {
      const { code, stderr } = await runCLI([...args, inFolder(options[0]), ...options.slice(1)]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
    const [plain, offload] = await Promise.all(
      ["plain.png", "offload.png"].map((name) => RawImage.open(inFolder(name))),
    );
    expect(offload.data).toEqual(plain.data);
    const peak = async (...more: string[]): Promise<number> => {
      const { stdout } = await runCLI(["info", "--size", "64x64", ...more]);
      return Number(/weights and drawing, at most: +(\d+)/.exec(stdout)![1]);
    };
    expect(await peak("--cpu-offload")).toBeLessThan(0.95 * (await peak()));
  });

  test("a safety checker's findings are black and said to be; --no-safety-checker leaves it out", async () => {
    const model = inFolder("safe");
    for (const repo of ["sd15", "sd15-safe"]) await cp(fixturePath(`models/repos/${repo}`), model, { recursive: true });
    const args = ["--model", model, "--count", "3", "--size", "24x16", "--steps", "3", "--seed", "8"];
    const drawn = async (
      file: string,
      ...more: string[]
    ): Promise<[black: boolean[], stdout: string, stderr: string]> => {
      const { code, stdout, stderr } = await runCLI([
        "generate",
        "a photo of a cat",
        ...args,
        "-o",
        inFolder(file),
        ...more,
      ]);
      expect(code).toBe(0);
      const files = [1, 2, 3].map((n) => inFolder(file.replace(".png", `-${n}.png`)));
      const pictures = await Promise.all(files.map((each) => RawImage.open(each)));
      return [pictures.map(({ data }) => data.every((value) => value === 0)), stdout, stderr];
    };
    const [black, stdout, stderr] = await drawn("safe.png");
    expect(black).toEqual([true, false, false]); // as scripts/make_safety.py has it
    expect(stdout).toMatch(/safe-1.png: .* for 3; black, as the safety checker has it\n.*safe-2.png: [^;]*\n[^;]*\n$/);
    expect(stderr).toContain("Potential NSFW content was detected");
    const [others, said, warned] = await drawn("unsafe.png", "--no-safety-checker");
    expect(others).toEqual([false, false, false]);
    expect(said).not.toContain("black");
    expect(warned).toContain("You have disabled the safety checker");
  });

  test("--lora draws under the weights of a file", async () => {
    const pipeline = await StableDiffusionPipeline.fromPretrained(EMBEDDED_MODEL);
    pipeline.setProgressBarConfig({ disable: true });
    const [, { shape }] = [...pipeline.unet.parameters()].find(([key]) => key === "conv_in.weight")!;
    const endings: [string, string] = [".lora_A.weight", ".lora_B.weight"];
    const layers: LoraGolden["layers"] = [["unet.conv_in", 2, [...shape]]];
    const file = inFolder("own.safetensors");
    await writeFile(file, loraFile({ model: "sd15", endings, size: 0.1, alpha: null, metadata: {}, layers }));
    const args = ["--lora", file, "--lora-scale", "0.5", "--steps", "2", "--seed", "8", "-o", inFolder("lora.png")];
    const { code, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const draw = async (): Promise<Uint8ClampedArray> => {
      const generator = new Generator("cpu").manualSeed(8);
      return (await pipeline(PROMPT, { numInferenceSteps: 2, guidanceScale: 3, generator })).images[0].data;
    };
    const drawn = (await RawImage.open(inFolder("lora.png"))).data;
    expect(drawn).not.toEqual(await draw());
    await pipeline.loadLoraWeights(file);
    await pipeline.setAdapters("default_0", 0.5);
    expect(drawn).toEqual(await draw());
    pipeline.dispose();
    const missing = await runCLI(["generate", PROMPT, "--lora", inFolder(""), "-o", inFolder("x.png")]);
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining("pytorch_lora_weights") as string });
  });

  test("--textual-inversion draws with the word of a file", async () => {
    const pipeline = await StableDiffusionPipeline.fromPretrained(EMBEDDED_MODEL);
    pipeline.setProgressBarConfig({ disable: true });
    const file = inFolder("word.safetensors");
    const shape = [2, pipeline.text_encoder.config.hidden_size];
    await writeFile(file, embeddingFile({ tensor: "word", shape, key: "<word>" }));
    const given = ["--textual-inversion", file, "--token", "<w>", "--negative", "a <w>", "--steps", "2", "--seed", "8"];
    const { code, stderr } = await runCLI(["generate", "a <w> circle", ...given, "-o", inFolder("word.png")]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const draw = async (): Promise<Uint8ClampedArray> => {
      const generator = new Generator("cpu").manualSeed(8);
      const options = { numInferenceSteps: 2, guidanceScale: 3, negativePrompt: "a <w>", generator };
      return (await pipeline("a <w> circle", options)).images[0].data;
    };
    const drawn = (await RawImage.open(inFolder("word.png"))).data;
    expect(drawn).not.toEqual(await draw());
    await pipeline.loadTextualInversion(file, { token: "<w>" });
    expect(drawn).toEqual(await draw());
    pipeline.dispose();
  });

  test("draws with a folder of Stable Diffusion XL, from pictures, too", async () => {
    const model = ["--model", fixturePath("models/repos/sdxl"), "--steps", "2", "--seed", "8"];
    const { code, stdout, stderr } = await runCLI([
      ...["generate", PROMPT, ...model, "--size", "48x32", "-o", inFolder("xl.png")],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/xl\.png: 48x32, seed 8, EulerDiscreteScheduler, /);
    for (const more of [[], ["--mask", inFolder("xl.png")]]) {
      const from = ["--image", inFolder("xl.png"), "--strength", "0.5", ...more];
      const drawn = await runCLI(["generate", PROMPT, ...model, ...from, "-o", inFolder("x.png")]);
      expect({ code: drawn.code, stderr: drawn.stderr }).toEqual({ code: 0, stderr: "" });
      expect(drawn.stdout).toMatch(/x\.png: 48x32, seed 8, EulerDiscreteScheduler, /);
    }
  });

  test("draws with a latent consistency model in its four steps, from pictures and with masks, too", async () => {
    const model = inFolder("lcm");
    await cp(fixturePath("models/repos/sd15"), model, { recursive: true });
    for (const part of ["unet", "scheduler"]) {
      await rm(path.join(model, part), { recursive: true });
      await cp(fixturePath(`models/repos/lcm/${part}`), path.join(model, part), { recursive: true });
    }
    const index = JSON.parse(await readFile(path.join(model, "model_index.json"), "utf8")) as object;
    const named = { ...index, _class_name: "LatentConsistencyModelPipeline", scheduler: ["diffusers", "LCMScheduler"] };
    await writeFile(path.join(model, "model_index.json"), JSON.stringify(named));
    const begun = ["--image", inFolder("lcm.png")];
    for (const more of [["--size", "48x32"], begun, [...begun, "--mask", inFolder("lcm.png")]]) {
      const { code, stdout } = await runCLI([
        ...["generate", PROMPT, "--model", model, "--seed", "8", ...more, "-o", inFolder("lcm.png")],
      ]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/lcm\.png: 48x32, seed 8, LCMScheduler, 4 steps, /);
    }
    const sheet = ["--steps", "2", "--schedulers", "LCM,DDIM", "--size", "16x16", "-o", inFolder("lcm-sheet.png")];
    const { code, stdout } = await runCLI(["compare", PROMPT, "--model", model, ...sheet]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^LCMScheduler, 2 steps, .*\nDDIMScheduler, 2 steps, /);
  });

  test("a model that edits pictures takes --image, and --image-guidance", async () => {
    await writeFile(inFolder("edit.png"), picture(53, 37).toPNG());
    for (const [repo, name, drawn] of [
      ["sd15", "StableDiffusionInstructPix2PixPipeline", "48x32"],
      ["sdxl", "StableDiffusionXLInstructPix2PixPipeline", "48x32"],
    ] as const) {
      const changes = { index: { _class_name: name, ...(repo === "sdxl" && { is_cosxl_edit: true }) } };
      const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionInstructPix2PixPipeline>(
        await withUNet(repo, { ...changes, unet: { in_channels: 8 } }),
      );
      const model = inFolder(name);
      await pipeline.savePretrained(model);
      const options = { numInferenceSteps: 2, imageGuidanceScale: 2.5, image: picture(53, 37) };
      const size = repo === "sdxl" ? { height: 32, width: 48 } : {};
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await pipeline(PROMPT, { ...options, ...size, generator });
      pipeline.dispose();
      const call = ["generate", PROMPT, "--model", model, "--steps", "2", "--seed", "8", "-o", inFolder("edited.png")];
      const given = ["--image", inFolder("edit.png"), "--image-guidance", "2.5"];
      const { code, stdout, stderr } = await runCLI([...call, ...given]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain(`edited.png: ${drawn}, seed 8, `);
      expect((await RawImage.open(inFolder("edited.png"))).data).toEqual(images[0].data);
    }
    const call = ["generate", PROMPT, "-o", inFolder("x.png"), "--model"];
    for (const [args, message] of [
      [
        [inFolder("StableDiffusionInstructPix2PixPipeline")],
        "this model edits pictures: --image FILE is the one to edit",
      ],
      [
        [inFolder("StableDiffusionXLInstructPix2PixPipeline"), "--image", inFolder("edit.png"), "--strength", "0.5"],
        "--strength does not go with this model",
      ],
      [[EMBEDDED_MODEL, "--image-guidance", "2"], "--image-guidance needs a model that edits pictures"],
    ] as const)
      expect(await runCLI([...call, ...args])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(message) as string,
      });
  });

  test("--count numbers the files, a missing seed is chosen and told", async () => {
    const args = ["--steps", "1", "--count", "2", "-o", inFolder("many.png")];
    const { code, stdout, stderr } = await runCLI(["generate", PROMPT, ...args]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    for (const [i, line] of lines.entries())
      expect(line).toMatch(new RegExp(`many-${i + 1}\\.png: 64x64, seed \\d+, `));
    const names = (await readdir(folder)).filter((name) => name.startsWith("many"));
    expect(names.sort()).toEqual(["many-1.png", "many-2.png"]);
    const [one, two] = await Promise.all(names.map((name) => readFile(inFolder(name))));
    expect(one.equals(two)).toBe(false);
  });

  test("Ctrl-C ends it with 130 and writes nothing", async () => {
    const file = inFolder("never.png");
    const args = ["generate", PROMPT, "--steps", "999", "-o", file];
    const { code, stderr } = await runCLI(args, { interruptAfter: 2000 });
    expect(stderr).toBe("webgpu-diffusers: interrupted");
    expect(code).toBe(130);
    expect(existsSync(file)).toBe(false);
  });
});

describe("Ctrl-C while a model comes from the hub", () => {
  const faults: Record<string, (seen: Seen) => Fault | undefined> = {
    "a hub in trouble": ({ at }) => (at === "api" ? { status: 503 } : undefined), // tried again for 15 s
    "a download that stalls": ({ at }) => (at === "cdn" ? { stall: 1000 } : undefined), // tried again for 65 s
  };
  for (const [name, fault] of Object.entries(faults))
    test(`${name}: ends it with 130 at once`, async () => {
      const hub = await startFakeHub([["org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15")))]]);
      let interrupted = 0;
      try {
        const interruptWhen = new Promise<void>((resolve) => {
          hub.fault = (seen) => {
            const wrong = fault(seen);
            if (wrong) setTimeout(() => (resolve(), (interrupted ||= performance.now())), 100);
            return wrong;
          };
        });
        const env = { HF_ENDPOINT: hub.url, HF_HOME: inFolder("hub"), HF_HUB_OFFLINE: "", HF_TOKEN: "" };
        const args = ["generate", PROMPT, "--model", "org/sd", "--steps", "1", "-o", inFolder("never.png")];
        const { code, stderr } = await runCLI(args, { env, interruptWhen });
        expect(performance.now() - interrupted).toBeLessThan(8000);
        expect(stderr).toBe("webgpu-diffusers: interrupted");
        expect(code).toBe(130);
      } finally {
        await hub.close();
      }
    });
});

describe("webgpu-diffusers compare", () => {
  test("writes a sheet with a row per number of steps", async () => {
    const file = inFolder("sheet.png");
    const args = ["--schedulers", "DDIM,EulerDiscreteScheduler", "--steps", "1,2", "-o", file];
    const { code, stdout, stderr } = await runCLI(["compare", PROMPT, ...args]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(5);
    expect(stdout).toMatch(/^DDIMScheduler, 1 step, .*\n.*, 1 step, .*\nDDIMScheduler, 2 steps, /);
    const { width, height, at } = decodePNG(await readFile(file));
    // Two pictures of 2 x 64 pixels and three margins of 8; below: heading, and three lines of 9 pixels per picture.
    expect(width).toBe(2 * 128 + 3 * 8);
    expect(height).toBe(8 + 9 + 4 + 2 * (128 + 4 + 3 * 9 + 8));
    expect(at(0, 0)).toEqual([255, 255, 255]);
  });
});
