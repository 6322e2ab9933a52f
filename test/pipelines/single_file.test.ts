import { beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DiffusionPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  StableDiffusionUpscalePipeline,
  StableDiffusionXLPipeline,
  UNet2DConditionModel,
  type Repository,
} from "../../src/index.js";
import { mapKey } from "../../src/loader/legacy_keys.js";
import { configRepository } from "../../src/loader/single_file/kinds.js";
import type { Module } from "../../src/nn/module.js";
import { product } from "../../src/tensor/dtype.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { loraRepository as repositoryOf } from "../support/lora.js";
import { parseSafetensors, writeSafetensors, type RawTensor } from "../support/repositories.js";
import { upscaleRepository } from "../support/upscale.js";
import { warnings } from "../support/warnings.js";

/** What scripts/make_single_file.py wrote, after diffusers had loaded such files: a key there, and what it is here. */
type Pair = [key: string, component: string, keys: string[]];
const pairs = await readFixtureJSON<Record<"sd15" | "sd21" | "sdxl", Pair[]>>("pipelines/single_file.json");

const FILES: Record<string, string> = {
  unet: "diffusion_pytorch_model",
  vae: "diffusion_pytorch_model",
  text_encoder: "model",
  text_encoder_2: "model",
};

/** The tensors of the model's folder under their names in one file. */
async function checkpoint(model: keyof typeof pairs, only?: string): Promise<Map<string, RawTensor>> {
  const made = new Map<string, RawTensor>();
  const files = new Map<string, Map<string, RawTensor>>();
  for (const [name, component, keys] of pairs[model]) {
    if (only !== undefined && component !== only) continue;
    if (!files.has(component)) {
      const path = `models/repos/${model}/${component}/${FILES[component]}.safetensors`;
      const own = parseSafetensors(await readFixture(path));
      files.set(component, new Map([...own].map(([key, tensor]) => [mapKey(key) ?? key, tensor])));
    }
    const own = files.get(component)!;
    const parts = keys.map((key) => own.get(key)!);
    const [{ dtype, shape }] = parts;
    const isSquare = /\.attn_1\..*weight$/.test(name) && shape.length === 2;
    if (name.endsWith("text_projection")) made.set(name, exchanged(parts[0]));
    else {
      const rows = [shape[0] * parts.length, ...shape.slice(1), ...(isSquare ? [1, 1] : [])];
      made.set(name, { dtype, shape: rows, bytes: joined(parts.map(({ bytes }) => bytes)) });
    }
  }
  return made;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function exchanged({ dtype, shape: [rows, columns], bytes }: RawTensor): RawTensor {
  const item = bytes.length / rows / columns;
  const result = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const [at, row, column] = [i % item, Math.floor(i / item / columns), Math.floor(i / item) % columns];
    result[(column * rows + row) * item + at] = bytes[i];
  }
  return { dtype, shape: [columns, rows], bytes: result };
}

const only = (tensors: ReadonlyMap<string, RawTensor>): Repository =>
  repositoryOf({ "x.safetensors": writeSafetensors(tensors) });
const weightName = "x.safetensors";

/** All weights as they lie in memory. */
const numbers = (model: Module): Promise<(Float32Array | Int32Array)[]> =>
  Promise.all([...new Set([...model.parameters()].map(([, { holder }]) => holder))].map(({ value }) => value.data()));

describe("a checkpoint in one file", () => {
  beforeAll(() => testDevice());

  for (const [model, Class] of [
    ["sd15", StableDiffusionPipeline],
    ["sd21", StableDiffusionPipeline],
    ["sdxl", StableDiffusionXLPipeline],
  ] as const)
    test(`${model}: every weight is where diffusers puts it`, async () => {
      const config = fixturePath(`models/repos/${model}`);
      const tensors = await checkpoint(model);
      // What files of training have besides.
      const more = { dtype: "F32", shape: [1], bytes: new Uint8Array(4) };
      tensors.set("alphas_cumprod", more).set("model_ema.diffusion_modelconv_inweight", more);
      const loaded = await Class.fromSingleFile(only(tensors), { config, weightName });
      const own = await Class.fromPretrained(config);
      expect(loaded.scheduler.toString()).toBe(own.scheduler.toString());
      for (const name of ["unet", "vae", "text_encoder", "text_encoder_2"] as const) {
        const [a, b] = [loaded, own].map((pipeline) => (pipeline as unknown as Record<string, Module>)[name]);
        if (b) expect(await numbers(a)).toEqual(await numbers(b));
      }
      loaded.dispose();
      own.dispose();
    });

  test("the x4 upscaler's, with its table of noise levels and both schedulers", async () => {
    const config = await upscaleRepository("x4");
    const file = (await config.open("unet/diffusion_pytorch_model.safetensors"))!;
    const unet = parseSafetensors(await file.read());
    const tensors = await checkpoint("sd21");
    for (const [name, component, [key]] of pairs.sd21) if (component === "unet") tensors.set(name, unet.get(key)!);
    tensors.set("model.diffusion_model.label_emb.weight", unet.get("class_embedding.weight")!);
    await warnings(async () => {
      const loaded = await StableDiffusionUpscalePipeline.fromSingleFile(only(tensors), { config, weightName });
      const own = await StableDiffusionUpscalePipeline.fromPretrained(config);
      for (const name of ["scheduler", "low_res_scheduler"] as const)
        expect(String(loaded[name])).toBe(String(own[name]));
      for (const name of ["unet", "vae"] as const)
        expect(await numbers(loaded[name])).toEqual(await numbers(own[name]));
      for (const each of [loaded, own]) each.dispose();
    });
    const shape = [1];
    const key = "model.diffusion_model.input_blocks.10.0.skip_connection.bias";
    expect(configRepository("x", new Map([[key, { shape }]]))).toBe("stabilityai/stable-diffusion-x4-upscaler");
  });

  test("models alone, and a VAE that is all that its file has", async () => {
    const config = fixturePath("models/repos/sd15");
    const unet = await UNet2DConditionModel.fromSingleFile(only(await checkpoint("sd15")), { config, weightName });
    const tensors = await checkpoint("sd15", "vae");
    const bare = new Map([...tensors].map(([key, tensor]) => [key.replace("first_stage_model.", ""), tensor]));
    const vae = await AutoencoderKL.fromSingleFile(only(bare), { config, weightName });
    const own = await StableDiffusionPipeline.fromPretrained(config);
    expect(await numbers(unet)).toEqual(await numbers(own.unet));
    expect(await numbers(vae)).toEqual(await numbers(own.vae));
    const half = await UNet2DConditionModel.fromSingleFile(only(await checkpoint("sd15")), {
      config,
      weightName,
      dtype: "float16",
    });
    expect(half.dtype).toBe("float16");
    for (const each of [unet, vae, own, half]) each.dispose();
  });

  test("components that are given are taken, and the class is that of the configs where none is named", async () => {
    const config = fixturePath("models/repos/sd15");
    const file = only(await checkpoint("sd15"));
    const pipeline = await DiffusionPipeline.fromSingleFile<StableDiffusionPipeline>(file, {
      config,
      weightName,
      vae: null,
    });
    expect(pipeline).toBeInstanceOf(StableDiffusionPipeline);
    expect(pipeline.vae).toBe(null);
    pipeline.dispose();
    const other = await StableDiffusionImg2ImgPipeline.fromSingleFile(file, { config, weightName });
    expect(other.className).toBe("StableDiffusionImg2ImgPipeline");
    other.dispose();
  });

  test("what is no such file is refused by name", async () => {
    const config = fixturePath("models/repos/sd15");
    const load = (tensors: ReadonlyMap<string, RawTensor>, options = {}): Promise<unknown> =>
      StableDiffusionPipeline.fromSingleFile(only(tensors), { config, weightName, ...options });
    const tensors = await checkpoint("sd15");
    await expect(load(new Map())).rejects.toThrow("has no weights of Stable Diffusion under the names of a checkpoint");
    const [[, first]] = tensors;
    const short = new Map([...tensors].slice(1));
    await expect(load(short)).rejects.toThrow(
      /UNet2DConditionModel: the weights in unet\/.* of x.safetensors .*missing/,
    );
    await expect(load(await checkpoint("sd15", "unet"))).rejects.toThrow(/no weights for (vae|text_encoder)/);
    await expect(load(tensors, { weightName: "y.safetensors" })).rejects.toThrow("no y.safetensors");
    await expect(load(tensors, { weightName: undefined })).rejects.toThrow("give the path or address of one");
    const [matrix] = [...tensors].find(([, { shape }]) => shape.length > 1)!;
    const misshapen = new Map(tensors).set(matrix, {
      ...tensors.get(matrix)!,
      shape: [product(tensors.get(matrix)!.shape)],
    });
    await expect(load(misshapen)).rejects.toThrow("the config wants");
    for (const [strange, what] of [
      ["model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias", "is Stable Diffusion 3"],
      ["control_model.time_embed.0.weight", "is a ControlNet"],
    ])
      await expect(load(new Map([[strange, first]]), { config: undefined })).rejects.toThrow(what);
  });
});
