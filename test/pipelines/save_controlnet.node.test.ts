import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ControlNetModel,
  DiffusionPipeline,
  estimateMemory,
  Generator,
  MultiControlNetModel,
  MultiControlNetUnionModel,
  StableDiffusionControlNetPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
  type SaveTarget,
} from "../../src/index.js";
import { controlNet, madeUNet } from "../support/controlnet_pictures.js";
import { controlNetUnion } from "../support/controlnet_union.js";
import { fixturePath } from "../support/files.js";
import { picture } from "../support/pictures.js";
import { indexHash, mostHeld, sha256, textHash } from "../support/saved_pipelines_node.js";

/**
 * diffusers 0.42.1: StableDiffusionControlNetPipeline.from_pretrained("test/fixtures/models/repos/sd15", safety_checker=None,
 * controlnet=ControlNetModel.from_pretrained("test/fixtures/models/repos/controlnet")).save_pretrained(folder), and with a list of two;
 * `grep -v _name_or_path model_index.json | sha256sum`.
 */
const INDEX = {
  one: "9e5624531f7bb9dacfb2da99399a9d9647dc5548c6788533b9942337088e3f20",
  two: "418dfe087a73b7ebf12538788524d047a4f5ff2c19f9c1bb05071de1b844a840",
};
/** StableDiffusionXLControlNetInpaintPipeline with a refiner and two ControlNets, of scripts/make_controlnet_pictures.py. */
const XL_INDEX = "6e8c617b33a2e2a821699c94645b2900162ea177b779e1797b90afa475857eab";

/**
 * StableDiffusionXLControlNetUnionInpaintPipeline with "union" and "deep" of scripts/make_controlnet_union.py: the index, and of the first
 * net config.json and the weights.
 */
const UNION = {
  index: "e925564d7cabf9c94e0dfbe4615c038a2074b9dc3515a50a1d3d9008f6f1cfb3",
  config: "3de7744e9ddc22e392ac6c33e8e80b048699ea5a03f7c3a03d468be4acd1e800",
  weights: "776b38a347b580c88aab9dd4bb5a6852d678aa4ce770e0bd27aa9330445e92bb",
};

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-controlnet-"))));
afterAll(() => rm(root, { recursive: true, force: true }));

describe("StableDiffusionControlNetPipeline in files", () => {
  let one: StableDiffusionControlNetPipeline;
  let two: StableDiffusionControlNetPipeline;
  beforeAll(async () => {
    const net = (config = {}): Promise<ControlNetModel> =>
      ControlNetModel.fromPretrained(fixturePath("models/repos/controlnet"), { config });
    const controlnet = await net();
    one = await StableDiffusionControlNetPipeline.fromPretrained(fixturePath("models/repos/sd15"), { controlnet });
    const bgr = await net({ controlnet_conditioning_channel_order: "bgr" });
    two = StableDiffusionControlNetPipeline.fromPipe(one, { controlnet: [controlnet, bgr] });
  });
  afterAll(() => {
    for (const each of [one, two]) each.dispose();
  });

  const draw = async (pipeline: StableDiffusionControlNetPipeline): Promise<ArrayLike<number>> => {
    pipeline.setProgressBarConfig({ disable: true });
    const image =
      pipeline.controlnet instanceof MultiControlNetModel ? [picture(48, 32), picture(48, 32)] : picture(48, 32);
    const generator = new Generator("cpu").manualSeed(8);
    const { images } = await pipeline("a cat", { image, numInferenceSteps: 2, generator, outputType: "latent" });
    const numbers = await images.data();
    images.dispose();
    return numbers;
  };

  for (const [name, folders] of [
    ["one", ["controlnet"]],
    ["two", ["controlnet", "controlnet_1"]],
  ] as const)
    test(`with ${name}: folders and model_index.json as Python's`, async () => {
      const pipeline = { one, two }[name];
      const folder = join(root, name);
      await pipeline.savePretrained(folder);
      const found = (await readdir(folder)).filter((each) => each.startsWith("controlnet"));
      expect(found.sort()).toEqual(folders);
      expect(await indexHash(folder)).toBe(INDEX[name]);
      const again = await DiffusionPipeline.fromPretrained<StableDiffusionControlNetPipeline>(folder);
      expect(again).toBeInstanceOf(StableDiffusionControlNetPipeline);
      if (name === "one") return again.dispose(); // what is drawn is as with two
      const wanted = await draw(pipeline);
      const [drawn, most] = await mostHeld(again.device, () => draw(again));
      expect(drawn).toEqual(wanted);
      const bytes = again.device.memoryUse.bytes;
      again.dispose();
      expect(again.controlnet.isDisposed).toBe(true);
      expect(again.device.memoryUse.bytes).toBeLessThan(bytes);
      const { weights, peak } = await estimateMemory(
        folder,
        {},
        { height: 32, width: 48, numInferenceSteps: 2, outputType: "latent" },
      );
      expect(weights).toBeGreaterThan(pipeline.unet.getMemoryFootprint() + pipeline.controlnet.getMemoryFootprint());
      expect(peak - weights).toBeGreaterThanOrEqual(most);
      // An estimate is a bound, which is the further off the tinier a model is.
      expect(peak - weights).toBeLessThan(1.1 * most);
    });

  test("two of XL with a refiner that draws into pictures: files as Python's, the same picture, and memory as estimated", async () => {
    const xl = await StableDiffusionXLControlNetInpaintPipeline.fromPretrained(fixturePath("models/repos/sdxl"), {
      ...{ unet: await madeUNet("refiner", "sdxl"), text_encoder: null, tokenizer: null },
      controlnet: [await controlNet("refiner"), await controlNet("refiner")],
      requires_aesthetics_score: true,
    });
    const folder = join(root, "xl");
    await xl.savePretrained(folder);
    expect(await indexHash(folder)).toBe(XL_INDEX);
    const again = await DiffusionPipeline.fromPretrained<StableDiffusionXLControlNetInpaintPipeline>(folder);
    const image = picture(48, 32);
    const draw = async (pipeline: StableDiffusionXLControlNetInpaintPipeline): Promise<ArrayLike<number>> => {
      pipeline.setProgressBarConfig({ disable: true });
      const { images } = await pipeline("a cat", {
        ...{ image, maskImage: image, controlImage: [image, image], numInferenceSteps: 2, outputType: "latent" },
        ...{ strength: 1, generator: new Generator("cpu").manualSeed(8) },
      });
      const numbers = await images.data();
      images.dispose();
      return numbers;
    };
    const wanted = await draw(xl);
    xl.dispose();
    const [drawn, most] = await mostHeld(again.device, () => draw(again));
    expect(drawn).toEqual(wanted);
    again.dispose();
    const size = { height: 32, width: 48, numInferenceSteps: 2, outputType: "latent" } as const;
    const { weights, peak } = await estimateMemory(folder, {}, size);
    expect(peak - weights).toBeGreaterThanOrEqual(most);
    expect(peak - weights).toBeLessThan(1.1 * most);
  });

  test("two unions of XL that draw into pictures: files as Python's, the same picture, and memory as estimated", async () => {
    const xl = await StableDiffusionXLControlNetUnionInpaintPipeline.fromPretrained(fixturePath("models/repos/sdxl"), {
      controlnet: [await controlNetUnion("union"), await controlNetUnion("deep")],
    });
    const folder = join(root, "union");
    await xl.savePretrained(folder);
    expect(await indexHash(folder)).toBe(UNION.index);
    expect(await textHash(join(folder, "controlnet", "config.json"))).toBe(UNION.config);
    const weights = await readFile(join(folder, "controlnet", "diffusion_pytorch_model.safetensors"));
    expect(sha256(weights)).toBe(UNION.weights);
    const again = await DiffusionPipeline.fromPretrained<StableDiffusionXLControlNetUnionInpaintPipeline>(folder);
    expect(again.controlnet).toBeInstanceOf(MultiControlNetUnionModel);
    const image = picture(48, 32);
    const draw = async (pipeline: StableDiffusionXLControlNetUnionInpaintPipeline): Promise<ArrayLike<number>> => {
      pipeline.setProgressBarConfig({ disable: true });
      const { images } = await pipeline("a cat", {
        ...{ image, maskImage: image, controlImage: [image, image], controlMode: [3, 0], numInferenceSteps: 2 },
        ...{ outputType: "latent", strength: 1, generator: new Generator("cpu").manualSeed(8) },
      });
      const numbers = await images.data();
      images.dispose();
      return numbers;
    };
    const wanted = await draw(xl);
    xl.dispose();
    const [drawn, most] = await mostHeld(again.device, () => draw(again));
    expect(drawn).toEqual(wanted);
    await again.enableModelCpuOffload();
    expect(await draw(again)).toEqual(wanted);
    again.dispose();
    expect(again.controlnet.isDisposed).toBe(true);
    const size = { height: 32, width: 48, numInferenceSteps: 2, outputType: "latent" } as const;
    const { weights: held, peak } = await estimateMemory(folder, {}, size);
    expect(peak - held).toBeGreaterThanOrEqual(most);
    expect(peak - held).toBeLessThan(1.1 * most);
  });

  test("one that is missing is told with its files", async () => {
    const folder = join(root, "two");
    await rm(join(folder, "controlnet_1", "diffusion_pytorch_model.safetensors"));
    await expect(DiffusionPipeline.fromPretrained(folder)).rejects.toThrow("controlnet_1/diffusion_pytorch_model");
    await rm(join(folder, "controlnet"), { recursive: true });
    await expect(DiffusionPipeline.fromPretrained(folder)).rejects.toThrow("controlnet/config.json");
  });

  test("several are saved alone, side by side, or into an object that takes files", async () => {
    const multi = two.controlnet as MultiControlNetModel;
    await multi.savePretrained(join(root, "alone"));
    expect((await readdir(root)).filter((name) => name.startsWith("alone")).sort()).toEqual(["alone", "alone_1"]);
    const second = await ControlNetModel.fromPretrained(join(root, "alone_1"));
    expect(second.config.controlnet_conditioning_channel_order).toBe("bgr");
    second.dispose();
    const paths: string[] = [];
    const target: SaveTarget = {
      name: "a list",
      list: () => Promise.resolve([]),
      write: (path) => Promise.resolve(void paths.push(path)),
      remove: () => Promise.resolve(),
    };
    await multi.savePretrained(target);
    expect(paths.sort()).toEqual(
      ["controlnet", "controlnet_1"].flatMap((folder) => [
        `${folder}/config.json`,
        `${folder}/diffusion_pytorch_model.safetensors`,
      ]),
    );
  });
});
