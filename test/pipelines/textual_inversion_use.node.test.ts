import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPTokenizer,
  DDIMScheduler,
  Generator,
  loadSafetensors,
  openRepository,
  requestDevice,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  Tensor,
  type Repository,
} from "../../src/index.js";
import { oneCommit, startFakeHub } from "../support/fake_hub_node.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { inHalves, loraFile, loraRepository, readLoraGoldens } from "../support/lora.js";
import { parseSafetensors, writeSafetensors } from "../support/repositories.js";
import { embeddingFile, embeddingValues, readTextualInversionGoldens } from "../support/textual_inversion.js";
import { warnings } from "../support/warnings.js";

const { runs } = await readTextualInversionGoldens();
const CAT = { tensor: "<cat>", shape: [3, 32], key: "<cat>" };
const golden = runs.find(({ steps, call }) => steps.length === 1 && call.prompt === "a <cat>, <CAT> on red")!;
const FOLDER = fixturePath("models/repos/sd15");
const cat = embeddingFile(CAT);

async function load(source: string | Repository = FOLDER, options = {}): Promise<StableDiffusionPipeline> {
  const pipeline = await StableDiffusionPipeline.fromPretrained(source, options);
  pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

async function draw(pipeline: StableDiffusionPipeline, crossAttentionKwargs?: { scale: number }): Promise<number[]> {
  const { prompt, negative_prompt: negativePrompt } = golden.call;
  const size = { numInferenceSteps: 3, height: 32, width: 48 };
  const generator = new Generator("cpu").manualSeed(8);
  const options = { ...size, negativePrompt, generator, crossAttentionKwargs };
  const { images } = await pipeline(prompt, { ...options, outputType: "latent" });
  const values = await images.data();
  images.dispose();
  return Array.from(values);
}

const furthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i])));

describe("textual inversion", () => {
  let root: string;
  let pipeline: StableDiffusionPipeline;
  let plain: number[];
  beforeAll(async () => {
    await testDevice();
    root = await mkdtemp(join(tmpdir(), "textual-inversion-"));
    await writeFile(join(root, "learned_embeds.safetensors"), cat);
    await writeFile(join(root, "own.safetensors"), cat);
    pipeline = await load();
    plain = await draw(pipeline);
  });
  afterAll(async () => {
    pipeline.dispose();
    await rm(root, { recursive: true, force: true });
  });

  const withCat = async (source: unknown, options = {}): Promise<void> => {
    await pipeline.loadTextualInversion(source as string, options);
    expect(pipeline.tokenizer.addedWords).toEqual(["<cat>", "<cat>_1", "<cat>_2"]);
    expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-3);
    await pipeline.unloadTextualInversion();
    expect(pipeline.tokenizer.addedWords).toEqual([]);
  };

  test("files: of a folder, by name, by path, by Python's names of options, in halves, of A1111", async () => {
    await withCat(root);
    await withCat(root, { weightName: "own.safetensors" });
    await withCat(join(root, "own.safetensors"), { weight_name: null, hf_token: null });
    await withCat([join(root, "own.safetensors")], { text_encoder: pipeline.text_encoder });
    const halves = writeSafetensors(inHalves(parseSafetensors(cat)));
    await pipeline.loadTextualInversion(loraRepository({ "learned_embeds.safetensors": halves }));
    expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-2); // the numbers are rounded
    await pipeline.unloadTextualInversion();
    const a1111 = embeddingFile({ ...CAT, key: "emb_params" });
    await withCat(loraRepository({ "learned_embeds.safetensors": a1111 }), { token: "<cat>" });
    expect(await draw(pipeline)).toEqual(plain);
  });

  test("a file with embeddings for both encoders of XL is read, and they are given", async () => {
    const file = new Map(
      [...parseSafetensors(cat)].flatMap(([, tensor]) => ["clip_l", "clip_g"].map((key) => [key, tensor] as const)),
    );
    await writeFile(join(root, "xl.safetensors"), writeSafetensors(file));
    const path = join(root, "xl.safetensors");
    await expect(pipeline.loadTextualInversion(path)).rejects.toThrow(
      'xl.safetensors has 2 tensors, "clip_l", "clip_g", and must have that of one token; of a file with several give one: (await loadSafetensors(file)).get("clip_l")',
    );
    const tensors = await loadSafetensors(path);
    expect([...tensors.keys()]).toEqual(["clip_l", "clip_g"]);
    await withCat(tensors.get("clip_g"), { token: "<cat>" });
    await withCat({ "<cat>": tensors.get("clip_l") });
    for (const tensor of tensors.values()) tensor.dispose();
  });

  test("pickles are refused by name", async () => {
    const pickled =
      "is a pickle, which can run code and is not read; convert it in Python: safetensors.torch.save_file(";
    for (const [source, options] of [
      ["charturnerv2.pt", {}],
      ["https://example.org/x.bin", {}],
      [root, { weightName: "x.bin" }],
    ] as const)
      await expect(pipeline.loadTextualInversion(source, options)).rejects.toThrow(pickled);
    const old = loraRepository({ "learned_embeds.bin": new Uint8Array(8) });
    await expect(pipeline.loadTextualInversion(old)).rejects.toThrow(
      "made LoRAs has no learned_embeds.safetensors, but learned_embeds.bin, a pickle, which can run code and is not read",
    );
    await expect(pipeline.loadTextualInversion(loraRepository({}))).rejects.toThrow(
      "made LoRAs has no learned_embeds.safetensors",
    );
  });

  test("repositories of the hub, also one that has a pickle alone", async () => {
    const hub = await startFakeHub([
      ["owner/cat", oneCommit(new Map([["learned_embeds.safetensors", cat]]))],
      ["owner/old", oneCommit(new Map([["learned_embeds.bin", new Uint8Array(8)]]))],
      ["owner/none", oneCommit(new Map([["README.md", new Uint8Array(8)]]))],
    ]);
    const options = { endpoint: hub.url, cacheDir: join(root, "hub"), hfToken: false };
    await withCat("owner/cat", options);
    await withCat("owner/cat", { ...options, localFilesOnly: true });
    await expect(pipeline.loadTextualInversion("owner/old", options)).rejects.toThrow(
      "owner/old has no learned_embeds.safetensors, but learned_embeds.bin, a pickle",
    );
    await expect(pipeline.loadTextualInversion("owner/none", options)).rejects.toThrow(
      /owner\/none has no learned_embeds\.safetensors \(.*\); say what the file is called/,
    );
    await hub.close();
  });

  test("where there is no memory for the table, and for rows that are none, all is as before", async () => {
    const { device, text_encoder: encoder } = pipeline;
    device.trim();
    const { bytes } = device.memoryUse;
    const { copyBytes } = device;
    device.copyBytes = () => {
      throw new Error("no room");
    };
    await expect(pipeline.loadTextualInversion(root)).rejects.toThrow("no room");
    device.copyBytes = copyBytes;
    for (const row of [new Float32Array(31), 2514, -1, NaN])
      await expect(encoder.setTokenRows([0, row])).rejects.toThrow("rows are numbers below 2514, or have 32 numbers");
    expect(pipeline.tokenizer.addedWords).toEqual([]);
    expect(encoder.config.vocab_size).toBe(2514);
    await device.flush();
    expect(device.memoryUse.bytes).toBe(bytes);
    expect(await draw(pipeline)).toEqual(plain);
    await withCat(root);
  });

  test("what diffusers takes without a word, and what is none of it", async () => {
    const tensor = Tensor.from(embeddingValues(CAT), [3, 32]);
    const deep = tensor.reshape([1, 3, 32]);
    await expect(pipeline.loadTextualInversion(deep, { token: "<x>" })).rejects.toThrow(
      "the tensor must be [width] or [vectors, width], got [1, 3, 32]",
    );
    const twice = pipeline.loadTextualInversion([{ "<x>": tensor }, { "<x>": tensor }]);
    await expect(twice).rejects.toThrow('there are two embeddings for the token "<x>"');
    const more = pipeline.loadTextualInversion({ "<x>": tensor }, { token: ["<s0>", "<s1>"] });
    await expect(more).rejects.toThrow("there are 1 embeddings and 2 tokens");
    for (const token of ["", 3 as never, [["<x>"]] as never])
      await expect(pipeline.loadTextualInversion(tensor, { token })).rejects.toThrow("a token must be a text, got");
    await expect(pipeline.loadTextualInversion(tensor, { textEncoder: pipeline.unet as never })).rejects.toThrow(
      "the component `textEncoder` is of class UNet2DConditionModel; CLIPTextModel or CLIPTextModelWithProjection is needed",
    );
    const other = await CLIPTokenizer.fromPretrained(FOLDER, { subfolder: "tokenizer" });
    other.addTokens("<other>");
    await expect(pipeline.loadTextualInversion({ "<x>": tensor }, { tokenizer: other })).rejects.toThrow(
      "the text encoder has rows for 2514 tokens, and the tokenizer 2515, up to number 2514; they do not belong together",
    );
    await expect(pipeline.loadTextualInversion([])).rejects.toThrow("the list of embeddings is empty");
    for (const source of [null, 3, new Float32Array(32), { "<x>": 3 }])
      await expect(pipeline.loadTextualInversion(source as never, { token: "<x>" })).rejects.toThrow(
        "expected a folder, an address or a Repository, got",
      );
    await expect(pipeline.unloadTextualInversion(3 as never)).rejects.toThrow("tokens must be a text or a list, got 3");
    const stop = AbortSignal.abort(new Error("enough"));
    await expect(pipeline.loadTextualInversion(tensor, { token: "<x>", signal: stop })).rejects.toThrow("enough");
    await pipeline.loadTextualInversion({ "<cat>": tensor });
    await expect(pipeline.loadTextualInversion({ "<CAT>": tensor })).rejects.toThrow(
      'the token "<CAT>" cannot be told from "<cat>", because prompts are looked through in lower case',
    );
    const said = await warnings(() => pipeline.unloadTextualInversion(["<cat>", "<dog>"]));
    expect(said).toEqual(['StableDiffusionPipeline.unloadTextualInversion: there is no added token "<dog>"']);
    await pipeline.unloadTextualInversion();
    for (const each of [tensor, deep]) each.dispose();
    expect(await draw(pipeline)).toEqual(plain);
  });

  test("LoRAs come and go, and the words stay; either may be loaded first", async () => {
    const { files } = await readLoraGoldens();
    const kohya = loraRepository({ "pytorch_lora_weights.safetensors": loraFile(files.kohya) });
    await pipeline.loadTextualInversion(root);
    const alone = await draw(pipeline);
    await pipeline.loadLoraWeights(kohya);
    const both = await draw(pipeline);
    expect(furthest(both, alone)).toBeGreaterThan(0.01);
    expect(await draw(pipeline, { scale: 0 })).toEqual(alone);
    await pipeline.unloadTextualInversion();
    await pipeline.loadTextualInversion(root);
    expect(await draw(pipeline)).toEqual(both);
    await pipeline.unloadLoraWeights();
    expect(await draw(pipeline)).toEqual(alone);
    await pipeline.unloadTextualInversion();
    expect(await draw(pipeline)).toEqual(plain);
  });

  test("a text encoder that waits on the CPU gets them there", async () => {
    const away = await load();
    await away.enableModelCpuOffload();
    await away.loadTextualInversion(root);
    expect(away.text_encoder.residence.isOnCpu).toBe(true);
    expect(furthest(await draw(away), golden.latents)).toBeLessThan(1e-3);
    await away.unloadTextualInversion();
    expect(away.text_encoder.residence.isOnCpu).toBe(true);
    expect(await draw(away)).toEqual(plain);
    away.dispose();
  });

  test("pipelines that share the text encoder share the words", async () => {
    const other = StableDiffusionImg2ImgPipeline.fromPipe(pipeline);
    await other.loadTextualInversion(root);
    expect(furthest(await draw(pipeline), golden.latents)).toBeLessThan(1e-3);
    await expect(pipeline.loadTextualInversion(root)).rejects.toThrow('token "<cat>" already in tokenizer vocabulary');
    await pipeline.unloadTextualInversion("<cat>");
    expect(other.tokenizer.addedWords).toEqual(["<cat>_1", "<cat>_2"]);
    await other.unloadTextualInversion();
  });

  test("float16, and what the device lost comes back with them", async () => {
    const device = await requestDevice();
    const base = await openRepository(FOLDER);
    let fails = false;
    const flaky: Repository = {
      name: "flaky",
      open: async (path) => {
        if (fails && path.startsWith("text_encoder/")) throw new Error("the disk is gone");
        return base.open(path);
      },
    };
    const lost = await load(flaky, { device, dtype: "float16" });
    const { bytes } = device.memoryUse;
    await lost.loadTextualInversion(root);
    expect(device.memoryUse.bytes - bytes).toBe(3 * 32 * 2);
    const before = await draw(lost);
    expect(furthest(before, golden.latents)).toBeLessThan(2e-2 * Math.max(...golden.latents.map(Math.abs)));
    device.destroy();
    for (let i = 0; i < 2; i++) {
      const fresh = await requestDevice();
      fails = true;
      await expect(lost.recover({ device: fresh })).rejects.toThrow("the disk is gone");
      fails = false;
      await lost.recover({ device: fresh });
      expect(await draw(lost)).toEqual(before);
      const [copy] = await lost.text_encoder.copyTo([fresh]);
      expect([copy.config.vocab_size, copy.getMemoryFootprint()]).toEqual([
        2517,
        lost.text_encoder.getMemoryFootprint(),
      ]);
      copy.dispose();
      if (i === 0) fresh.destroy();
    }
    await lost.unloadTextualInversion(["<cat>_1", "<cat>_2"]);
    expect(lost.text_encoder.config.vocab_size).toBe(2515);
    lost.dispose();
    expect(lost.text_encoder.isDisposed).toBe(true);
    await expect(lost.loadTextualInversion(root)).rejects.toThrow("was used after dispose()");
  });

  for (const repo of ["sd15", "sd15-tf5"])
    test(`saved and loaded again, with the tokenizer of ${repo}`, async () => {
      const tokenizer = await CLIPTokenizer.fromPretrained(fixturePath(`models/repos/${repo}`), {
        subfolder: "tokenizer",
      });
      const own = await load(FOLDER, { tokenizer });
      await own.loadTextualInversion(root);
      const folder = join(root, repo);
      await own.savePretrained(folder);
      const config = JSON.parse(await readFile(join(folder, "text_encoder/config.json"), "utf8")) as {
        vocab_size: number;
      };
      expect(config.vocab_size).toBe(2517);
      const again = await load(folder);
      expect([...again.tokenizer.addedTokensEncoder]).toEqual([...own.tokenizer.addedTokensEncoder]);
      expect(await draw(again)).toEqual(await draw(own));
      // The words that are in the folder can be taken away, too.
      await again.unloadTextualInversion();
      await again.savePretrained(folder);
      const bare = await load(folder);
      expect(bare.tokenizer.length).toBe(2514);
      expect(await readdir(join(folder, "tokenizer"))).not.toContain("added_tokens.json");
      expect(await draw(bare)).toEqual(plain);
      for (const each of [own, again, bare]) each.dispose();
    });
});
