// Every model below test/fixtures/models/repos, in every variant and shard layout: it loads, its weights are those of the
// file widened to float32, and what savePretrained() writes loads again as the same.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as library from "../../src/index.js";
import type { FromPretrainedOptions, Scheduler } from "../../src/index.js";
import { mapKey } from "../../src/loader/legacy_keys.js";
import type { PretrainedModel } from "../../src/nn/weights/pretrained.js";
import { fixturePath } from "../support/files.js";
import { parseGoldens, type GoldenData } from "../support/goldens.js";

const ROOT = fixturePath("models/repos");
const STEMS = /^(diffusion_pytorch_model|model)(\.(?!safetensors)[\w-]+?)?(-\d{5}-of-\d{5})?\.safetensors$/;

interface ModelClass {
  new (config: object): PretrainedModel<object>;
  fromPretrained(source: string, options?: FromPretrainedOptions): Promise<PretrainedModel<object>>;
}

/** Folders that hold a file of this name. */
async function foldersWith(name: string): Promise<string[]> {
  const found = await readdir(ROOT, { recursive: true, withFileTypes: true });
  const folders = found.filter((entry) => entry.name === name).map((entry) => entry.parentPath);
  return folders.sort();
}

/** variant -> its weight files; "" is none. */
async function variantsOf(folder: string): Promise<Map<string, string[]>> {
  const variants = new Map<string, string[]>();
  for (const file of await readdir(folder)) {
    const match = STEMS.exec(file);
    if (!match) continue;
    const variant = match[2]?.slice(1) ?? "";
    variants.set(variant, [...(variants.get(variant) ?? []), join(folder, file)]);
  }
  return variants;
}

async function classOf(folder: string): Promise<{ name: string; Class: ModelClass }> {
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as Record<string, unknown>;
  const name = (config._class_name ?? (config.architectures as string[])[0]) as keyof typeof library;
  return { name, Class: library[name] as unknown as ModelClass };
}

/** Weights by module path, in float32. @param known the keys of the model */
async function weightsOf(files: readonly string[], known: ReadonlySet<string>): Promise<Map<string, GoldenData>> {
  const weights = new Map<string, GoldenData>();
  for (const file of files)
    for (const [key, { data }] of await parseGoldens(new Uint8Array(await readFile(file)), file)) {
      const path = mapKey(key, known);
      if (path !== null) weights.set(path, data);
    }
  return weights;
}

let out = "";
beforeAll(async () => void (out = await mkdtemp(join(tmpdir(), "repositories-"))));
afterAll(() => rm(out, { recursive: true, force: true }));

const models: { folder: string; variant: string; files: string[] }[] = [];
for (const folder of await foldersWith("config.json"))
  for (const [variant, files] of await variantsOf(folder)) models.push({ folder, variant, files });

describe("every model of the fixtures", () => {
  test("there are some of each class", async () => {
    const names = new Set(await Promise.all(models.map(async ({ folder }) => (await classOf(folder)).name)));
    for (const name of [
      "AutoencoderKL",
      "AutoencoderTiny",
      "CLIPTextModel",
      "CLIPTextModelWithProjection",
      "ControlNetModel",
      "StableDiffusionSafetyChecker",
      "UNet2DConditionModel",
      "UNet2DModel",
    ])
      expect(names).toContain(name);
    expect(models.length).toBeGreaterThan(25);
  });

  test("no config has a key that would be warned of", async () => {
    const warnings: string[] = [];
    const { warn } = console;
    console.warn = (text: string) => void warnings.push(text);
    try {
      for (const folder of await foldersWith("config.json")) {
        const { Class } = await classOf(folder);
        const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as object;
        expect(new Class(config)).toBeInstanceOf(Class);
      }
    } finally {
      console.warn = warn;
    }
    expect(warnings).toEqual([]);
  });

  for (const { folder, variant, files } of models) {
    const name = `${relative(ROOT, folder)}${variant && ` ${variant}`}`;
    test(name, async () => {
      const { Class } = await classOf(folder);
      const options = { variant: variant || undefined };
      // As a repository with the model in a subfolder, and as one with the model at its root.
      const model = await Class.fromPretrained(dirname(folder), { ...options, subfolder: basename(folder) });
      const known = new Set([...model.parameters()].map(([key]) => key));
      const expected = await weightsOf(files, known);
      const target = join(out, name);
      await model.savePretrained(target);
      model.dispose();
      const saved = await variantsOf(target);
      expect([...saved.keys()]).toEqual([""]);
      const weights = await weightsOf(saved.get("")!, known);
      expect([...weights.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [key, data] of expected) expect(Buffer.compare(bytes(weights.get(key)!), bytes(data)), key).toBe(0);

      const shards = join(out, `${name} shards`);
      const again = await Class.fromPretrained(target);
      await again.savePretrained(shards, { variant: "again", maxShardSize: "100KB" });
      again.dispose();
      const third = await weightsOf((await variantsOf(shards)).get("again")!, known);
      for (const [key, data] of expected) expect(Buffer.compare(bytes(third.get(key)!), bytes(data)), key).toBe(0);
      (await Class.fromPretrained(shards, { variant: "again" })).dispose();
    });
  }
});

describe("every scheduler and tokenizer of the fixtures", async () => {
  for (const folder of await foldersWith("scheduler_config.json"))
    test(relative(ROOT, folder), async () => {
      const text = await readFile(join(folder, "scheduler_config.json"), "utf8");
      const name = /"_class_name": "(\w+)"/.exec(text)![1];
      const load = async (source: string): Promise<Scheduler> => library.schedulerClass(name).fromPretrained(source);
      const scheduler = await load(folder);
      const target = join(out, `${relative(ROOT, folder)} scheduler`);
      await scheduler.savePretrained(target);
      const again = await load(target);
      expect(again.toJsonString()).toBe(scheduler.toJsonString());
      again.setTimesteps(5);
      expect(again.timesteps.every(Number.isFinite)).toBe(true);
    });

  for (const folder of await foldersWith("tokenizer_config.json"))
    test(relative(ROOT, folder), async () => {
      const tokenizer = await library.CLIPTokenizer.fromPretrained(folder);
      const target = join(out, `${relative(ROOT, folder)} tokenizer`);
      await tokenizer.savePretrained(target);
      const again = await library.CLIPTokenizer.fromPretrained(target);
      for (const text of ["a photograph of an astronaut", "", "A cat (sitting) on 2 mats! ☕"])
        expect(again.encode(text)).toEqual(tokenizer.encode(text));
    });
});

const bytes = ({ buffer, byteOffset, byteLength }: GoldenData): Buffer => Buffer.from(buffer, byteOffset, byteLength);
