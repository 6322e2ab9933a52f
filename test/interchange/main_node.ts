// Saves models and pipelines, fills caches, and has interchange/check.py look at them. See scripts/interchange.mjs.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as library from "../../src/index.js";
import type { FromPretrainedOptions, StableDiffusionPipeline } from "../../src/index.js";
import { ensureDevice } from "../../src/tensor/device.js";
import type { PretrainedModel } from "../../src/nn/weights/pretrained.js";
import { folderFiles, oneCommit, startFakeHub } from "../support/fake_hub_node.js";
import { embeddingFile } from "../support/textual_inversion.js";

/** One thing for Python to load and compare. */
type Job = Record<string, unknown>;
type ModelClass = {
  fromPretrained(source: string, options?: FromPretrainedOptions): Promise<PretrainedModel<object>>;
};

const PIPELINES = ["sd15", "sd21", "ddpm-cifar"];
const HUB_ID = "org/sd15";
const WORDS = ["<cat>", "<Dog>", "Éx", "日本", " spaced ", "cat</w>"];

export async function main([python]: string[], root: string): Promise<void> {
  if (!python) throw new Error("usage: node scripts/interchange.mjs PYTHON");
  const repos = path.join(root, "test", "fixtures", "models", "repos");
  const out = mkdtempSync(path.join(tmpdir(), "interchange-"));
  const check = (jobs: Job[], env: Record<string, string> = {}): Promise<void> =>
    runPython(python, path.join(root, "test", "interchange", "check.py"), out, jobs, env);
  try {
    await check([...(await saveModels(repos, out)), ...(await savePipelines(repos, out))]);
    await exchangeWords(repos, out, check);
    await exchangeCaches(repos, out, check);
    console.log("all equal");
  } finally {
    rmSync(out, { recursive: true });
    (await ensureDevice()).destroy();
  }
}

/** Every model of the fixtures in every variant, whole and as float16 shards. */
async function saveModels(repos: string, out: string): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const entry of readdirSync(repos, { recursive: true, encoding: "utf8" })) {
    if (path.basename(entry) !== "config.json") continue;
    const folder = path.dirname(path.join(repos, entry));
    const config = JSON.parse(readFileSync(path.join(folder, "config.json"), "utf8")) as Record<string, unknown>;
    const name = String(config._class_name ?? (config.architectures as string[])[0]);
    const Class = (library as unknown as Record<string, ModelClass>)[name];
    const stem = config._class_name ? "diffusion_pytorch_model" : "model";
    for (const variant of variantsOf(folder, stem)) {
      const model = await Class.fromPretrained(folder, { variant });
      const target = path.join(out, "models", path.relative(repos, folder), variant ?? "plain");
      await model.savePretrained(target);
      await model.savePretrained(target, { variant: "half", dtype: "float16", maxShardSize: "150KB" });
      const from = { class: name, original: folder, originalVariant: variant ?? null, saved: target };
      jobs.push({ kind: "model", ...from, savedVariant: null, dtype: "float32" });
      jobs.push({ kind: "model", ...from, savedVariant: "half", dtype: "float16" });
      model.dispose();
    }
  }
  return jobs;
}

function variantsOf(folder: string, stem: string): (string | undefined)[] {
  const pattern = new RegExp(`^${stem}(?:\\.([\\w-]+?))?(?:-\\d{5}-of-\\d{5})?\\.safetensors$`);
  const found = readdirSync(folder).flatMap((file) => pattern.exec(file)?.slice(1, 2) ?? []);
  return [...new Set(found)];
}

async function savePipelines(repos: string, out: string): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const repo of PIPELINES) {
    const original = path.join(repos, repo);
    const saved = path.join(out, "pipelines", repo);
    const pipeline = await library.DiffusionPipeline.fromPretrained(original);
    await pipeline.savePretrained(saved);
    pipeline.dispose();
    jobs.push({ kind: "pipeline", original, saved });
  }
  return jobs;
}

/** A pipeline and tokenizers with words of textual inversion: ours in Python, Python's here. */
async function exchangeWords(repos: string, out: string, check: (jobs: Job[]) => Promise<void>): Promise<void> {
  const [original, folder] = [path.join(repos, "sd15"), path.join(out, "words")];
  const [saved, theirs] = ["saved", "theirs"].map((name) => path.join(folder, name));
  mkdirSync(folder, { recursive: true });
  const embedding = path.join(folder, "cat.safetensors");
  writeFileSync(embedding, embeddingFile({ tensor: "<cat>", shape: [3, 32], key: "<cat>" }));
  const { CLIPTokenizer, StableDiffusionPipeline } = library;
  const pipeline = await StableDiffusionPipeline.fromPretrained(original);
  await pipeline.loadTextualInversion(embedding);
  await pipeline.savePretrained(saved);
  const tokenizers = ["sd15", "sd21", "sd15-tf5"].map((repo) => path.join(repos, repo, "tokenizer"));
  for (const [i, source] of tokenizers.entries()) {
    const tokenizer = await CLIPTokenizer.fromPretrained(source);
    tokenizer.addTokens(WORDS);
    await tokenizer.savePretrained(path.join(folder, `tokenizer-${i}`));
  }
  const job = { kind: "words", original, embedding, saved, theirs, tokenizers, words: WORDS, folder };
  await check([job]);
  const again = await StableDiffusionPipeline.fromPretrained(theirs);
  const text = "a <cat>, <CAT> <cat>_1 and <Cat>_2";
  if (String(again.tokenizer.encode(text)) !== String(pipeline.tokenizer.encode(text)))
    throw new Error("Python's tokenizer with added tokens is read otherwise");
  if (again.text_encoder.config.vocab_size !== pipeline.text_encoder.config.vocab_size)
    throw new Error("Python's text encoder with added rows is read otherwise");
  for (const each of [pipeline, again]) each.dispose();
}

/** Ours into a cache, Python reads it offline; Python into a cache, ours reads it offline. */
async function exchangeCaches(
  repos: string,
  out: string,
  check: (jobs: Job[], env: Record<string, string>) => Promise<void>,
): Promise<void> {
  const original = path.join(repos, "sd15");
  const hub = await startFakeHub([[HUB_ID, oneCommit(folderFiles(original))]]);
  const [ours, theirs] = ["ours", "theirs"].map((name) => path.join(out, name));
  const { DiffusionPipeline, CLIPTokenizer } = library;
  const load = (cacheDir: string, localFilesOnly: boolean): Promise<StableDiffusionPipeline> =>
    DiffusionPipeline.fromPretrained(HUB_ID, { endpoint: hub.url, cacheDir, localFilesOnly });
  try {
    (await load(ours, false)).dispose();
    const environment = (cache: string, offline: boolean): Record<string, string> => ({
      HF_ENDPOINT: hub.url,
      HF_HUB_CACHE: cache,
      HF_HOME: path.join(out, "home"),
      HF_HUB_OFFLINE: offline ? "1" : "0",
    });
    await check([{ kind: "cache", id: HUB_ID, original }], environment(ours, true));
    await check([{ kind: "download", id: HUB_ID, original }], environment(theirs, false));
    hub.seen.length = 0;
    const pipeline = await load(theirs, true);
    const again = path.join(out, "again");
    await pipeline.savePretrained(again);
    pipeline.dispose();
    await CLIPTokenizer.fromPretrained(HUB_ID, { cacheDir: theirs, localFilesOnly: true, subfolder: "tokenizer" });
    if (hub.seen.length > 0) throw new Error(`offline, the hub was asked ${hub.seen.length} times`);
    await check([{ kind: "pipeline", original, saved: again }], {});
    // What Python cached is not fetched again when the network is there.
    (await load(theirs, false)).dispose();
    if (hub.bytes() > 0) throw new Error(`the cache of Python was not used: ${hub.bytes()} bytes were fetched`);
    if (!existsSync(path.join(theirs, "models--org--sd15", "refs", "main"))) throw new Error("refs/main is gone");
  } finally {
    await hub.close();
  }
}

function runPython(
  python: string,
  script: string,
  out: string,
  jobs: Job[],
  env: Record<string, string>,
): Promise<void> {
  mkdirSync(out, { recursive: true });
  const list = path.join(out, "jobs.json");
  writeFileSync(list, JSON.stringify(jobs));
  const quiet = { TRANSFORMERS_VERBOSITY: "error", HF_HUB_DISABLE_PROGRESS_BARS: "1", HF_HUB_DISABLE_TELEMETRY: "1" };
  const child = spawn(python, [script, list], { stdio: "inherit", env: { ...process.env, ...quiet, ...env } });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`check.py ended with ${code}`))));
  });
}
