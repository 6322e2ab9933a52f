import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPTokenizer,
  DDIMScheduler,
  DiffusionPipeline,
  FlaxStableDiffusionPipeline,
  Generator,
  openRepository,
  PRNGKey,
  type FlaxParams,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { fixturePath, readFixture } from "../support/files.js";
import { FLAX_REPO } from "../support/flax.js";
import { changed } from "../support/repositories.js";

const REPO = "models/repos/sd15";
const TOKENIZER = ["merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json"];

let root = "";
let folders = 0;
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-pipeline-"))));
afterAll(() => rm(root, { recursive: true, force: true }));
const newFolder = (): string => join(root, `folder-${folders++}`);

async function load(source: string, options = {}): Promise<StableDiffusionPipeline> {
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(source, options);
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

async function picture(pipeline: StableDiffusionPipeline): Promise<Uint8Array | Uint8ClampedArray> {
  const { images } = await pipeline("a red circle", {
    numInferenceSteps: 3,
    height: 64,
    width: 64,
    generator: new Generator().manualSeed(7),
  });
  return images[0].data;
}

const files = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
const readJSON = async (...path: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(...path), "utf8")) as Record<string, unknown>;

describe("DiffusionPipeline.savePretrained", () => {
  let pipeline: StableDiffusionPipeline;
  beforeAll(async () => void (pipeline = await load(fixturePath(REPO))));
  afterAll(() => pipeline.dispose());

  test("refuses pickles and warns of options that it does not have, once", async () => {
    const warnings: string[] = [];
    const { warn } = console;
    console.warn = (message: string) => void warnings.push(message);
    try {
      await pipeline.savePretrained(newFolder(), { push_to_hub: true } as object);
    } finally {
      console.warn = warn;
    }
    expect(warnings).toEqual([
      "StableDiffusionPipeline.savePretrained: options that it does not have are ignored: `push_to_hub` (there are variant, maxShardSize, dtype)",
    ]);
    const wrong = { max_shard_size: "2 mebi" } as object;
    await expect(pipeline.savePretrained(newFolder(), wrong)).rejects.toThrow("maxShardSize must be a number of bytes");
    await expect(pipeline.savePretrained(newFolder(), { safeSerialization: false } as object)).rejects.toThrow(
      "StableDiffusionPipeline.savePretrained: safeSerialization: false asks for pickles",
    );
  });

  test("the saved folder draws the same picture", async () => {
    const folder = newFolder();
    await pipeline.savePretrained(folder);
    expect(await files(folder)).toEqual([
      "model_index.json",
      "scheduler/scheduler_config.json",
      "text_encoder/config.json",
      "text_encoder/model.safetensors",
      ...TOKENIZER.map((name) => `tokenizer/${name}`),
      "unet/config.json",
      "unet/diffusion_pytorch_model.safetensors",
      "vae/config.json",
      "vae/diffusion_pytorch_model.safetensors",
    ]);
    for (const name of TOKENIZER)
      expect([name, await readFile(join(folder, "tokenizer", name), "latin1")]).toEqual([
        name,
        Buffer.from(await readFixture(`${REPO}/tokenizer/${name}`)).toString("latin1"),
      ]);
    const again = await load(folder);
    expect(await picture(again)).toEqual(await picture(pipeline));
    again.dispose();
  });

  test("a scheduler assigned later is written with its class; model_index.json is Python's", async () => {
    const folder = newFolder();
    const { scheduler } = pipeline;
    pipeline.scheduler = DDIMScheduler.fromConfig(scheduler.config);
    await pipeline.savePretrained(folder);
    pipeline.scheduler = scheduler;
    const text = await readFile(join(folder, "model_index.json"), "utf8");
    const line = `  "_name_or_path": ${JSON.stringify(fixturePath(REPO))},\n`;
    expect(text).toContain(line);
    // diffusers 0.42.1: pipe = DiffusionPipeline.from_pretrained("test/fixtures/models/repos/sd15");
    // pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config); pipe.save_pretrained(folder)
    const digest = createHash("sha256").update(text.replace(line, "")).digest("hex");
    expect(digest).toBe("d34ebfa1831c9990a5ed7986d550296516da01394d6eb9a128d444557a84d513");
    const config = createHash("sha256").update(await readFile(join(folder, "scheduler", "scheduler_config.json")));
    expect(config.digest("hex")).toBe("b79b9a5de52b43ad1617d7da1d1f28c290905e065cccf76d852b6bdc2b44acc8");
    expect((await readJSON(folder, "unet", "config.json"))._name_or_path).toBe(`${fixturePath(REPO)}/unet`);
    const again = await load(folder);
    expect(again.scheduler).toBeInstanceOf(DDIMScheduler);
    expect(again.scheduler.config.steps_offset).toBe(1);
    again.dispose();
  });

  test("variant, dtype and shards reach every model, text encoder included", async () => {
    const folder = newFolder();
    await pipeline.savePretrained(folder, { variant: "fp16", dtype: "float16", maxShardSize: "300KB" });
    const weights = (await files(folder)).filter((name) => name.includes("safetensors"));
    expect(weights.length).toBe(3 + 3);
    expect(weights.every((name) => name.includes("fp16"))).toBe(true);
    expect(weights.filter((name) => name.startsWith("text_encoder/"))).toEqual(["text_encoder/model.fp16.safetensors"]);
    expect((await readJSON(folder, "text_encoder", "config.json")).dtype).toBe("float16");
    await expect(load(folder)).rejects.toThrow("diffusion_pytorch_model.safetensors: no such file");
    const half = await load(folder, { variant: "fp16", dtype: "float16" });
    const direct = await load(fixturePath(REPO), { dtype: "float16" });
    expect(await picture(half)).toEqual(await picture(direct));
    half.dispose();
    direct.dispose();
  });

  test("saving over a pipeline leaves its folder loadable, also over shards", async () => {
    const folder = newFolder();
    await pipeline.savePretrained(folder, { maxShardSize: "300KB" });
    await pipeline.savePretrained(folder);
    (await load(folder)).dispose();
    expect((await files(folder)).filter((name) => name.includes("-of-") || name.includes("safetensors.index"))).toEqual(
      [],
    );
  });

  test("a pipeline can be saved over the folder that it came from", async () => {
    const folder = newFolder();
    await pipeline.savePretrained(folder);
    const own = await load(folder);
    await own.savePretrained(folder, { dtype: "float16" });
    own.dispose();
    (await load(folder)).dispose();
  });

  test("a fault leaves no folder behind", async () => {
    const folder = newFolder();
    const broken = await load(fixturePath(REPO), { unet: pipeline.unet });
    broken.vae.dispose();
    await expect(broken.savePretrained(folder)).rejects.toThrow(/AutoencoderKL\.savePretrained: .* has no value/);
    broken.text_encoder.dispose();
    expect((await readdir(root)).filter((name) => folder.endsWith(name) || name.startsWith("."))).toEqual([]);
  });
});

describe("CLIPTokenizer.savePretrained", () => {
  test("a tokenizer.json alone gets the two files of transformers 4 besides; another tokenizer's files go", async () => {
    const tokenizer = await CLIPTokenizer.fromPretrained(fixturePath(REPO), { subfolder: "tokenizer" });
    const text = async (name: string): Promise<string> =>
      new TextDecoder().decode(await readFixture(`${REPO}/tokenizer/${name}`));
    const model = {
      type: "BPE",
      end_of_word_suffix: "</w>",
      vocab: JSON.parse(await text("vocab.json")) as object,
      merges: (await text("merges.txt")).split("\n").filter((line) => line !== "" && !line.startsWith("#version")),
    };
    const source = await changed(fixturePath(`${REPO}/tokenizer`), {
      "vocab.json": null,
      "merges.txt": null,
      "tokenizer.json": { model, added_tokens: [] },
    });
    const folder = newFolder();
    await (await CLIPTokenizer.fromPretrained(source)).savePretrained(folder);
    expect(await files(folder)).toEqual([...TOKENIZER, "tokenizer.json"].sort());
    expect(await readJSON(folder, "vocab.json")).toEqual(JSON.parse(await text("vocab.json")));

    const plain = await changed(folder, { "tokenizer.json": null });
    const prompt = "A photo of an astronaut riding a horse, 4k — naïve café";
    expect((await CLIPTokenizer.fromPretrained(plain)).encode(prompt)).toEqual(tokenizer.encode(prompt));
    expect((await CLIPTokenizer.fromPretrained(folder)).encode(prompt)).toEqual(tokenizer.encode(prompt));

    await writeFile(join(folder, "added_tokens.json"), "{}");
    await tokenizer.savePretrained(folder);
    expect(await files(folder)).toEqual(TOKENIZER);
    expect((await openRepository(folder)).name).toBe(folder);
  });
});

describe("FlaxStableDiffusionPipeline.savePretrained", () => {
  const drawFlax = async (pipeline: FlaxStableDiffusionPipeline, params: FlaxParams): Promise<number[]> => {
    const ids = pipeline.prepareInputs("a red circle");
    const { images } = await pipeline(ids, params, PRNGKey(0), 2, { height: 64, width: 64 });
    const values = Array.from(await images.data());
    for (const owned of [ids, images]) owned.dispose();
    return values;
  };

  test("writes a pipeline's folder of the params, which both kinds of pipeline load", async () => {
    const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { variant: "bf16" });
    const folder = newFolder();
    await pipeline.savePretrained(folder, { params });
    expect(await files(folder)).toEqual([
      "model_index.json",
      "scheduler/scheduler_config.json",
      "text_encoder/config.json",
      "text_encoder/model.safetensors",
      ...TOKENIZER.map((name) => `tokenizer/${name}`),
      "unet/config.json",
      "unet/diffusion_pytorch_model.safetensors",
      "vae/config.json",
      "vae/diffusion_pytorch_model.safetensors",
    ]);
    // Flax's own files are msgpack, and nothing of today reads its classes: the folder is that of torch's.
    expect(await readJSON(folder, "model_index.json")).toMatchObject({
      _class_name: "StableDiffusionPipeline",
      unet: ["diffusers", "UNet2DConditionModel"],
      scheduler: ["diffusers", "PNDMScheduler"],
      safety_checker: [null, null],
    });
    expect((await readJSON(folder, "unet", "config.json"))._class_name).toBe("UNet2DConditionModel");
    expect((await readJSON(folder, "scheduler", "scheduler_config.json"))._class_name).toBe("PNDMScheduler");

    const [again, saved] = await FlaxStableDiffusionPipeline.fromPretrained(folder);
    expect(await drawFlax(again, saved)).toEqual(await drawFlax(pipeline, params));
    const torch = await load(folder);
    expect(torch.scheduler.className).toBe("PNDMScheduler");
    for (const owned of [saved, torch]) owned.dispose();

    const half = newFolder();
    await pipeline.savePretrained(half, { params, variant: "fp16", dtype: "float16" });
    expect(await files(half)).toContain("unet/diffusion_pytorch_model.fp16.safetensors");
    for (const wrong of [undefined, {}, { params: pipeline }, params])
      await expect(pipeline.savePretrained(newFolder(), wrong as never)).rejects.toThrow(
        "FlaxStableDiffusionPipeline.savePretrained: needs { params }, the params of fromPretrained(), as the pipeline has no weights",
      );
    params.dispose();
  });
});
