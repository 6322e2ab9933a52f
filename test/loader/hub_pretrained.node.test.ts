// Whole models and pipelines from the hub.
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  DiffusionPipeline,
  FlaxDDIMScheduler,
  FlaxStableDiffusionPipeline,
  UNet2DConditionModel,
} from "../../src/index.js";
import { openRepository } from "../../src/loader/repository.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { folderFiles, oneCommit, type Files, type Seen } from "../support/fake_hub_node.js";
import { fixturePath } from "../support/files.js";
import { COMMIT, CONFIG, filesBelow, useHub } from "../support/hub_sandbox_node.js";

const at = useHub(1000);
const said = ({ at: where, method, path: file, range }: Seen): string =>
  [where, method, file, range].filter(Boolean).join(" ");

describe("fromPretrained", () => {
  test("a pipeline comes from the hub; loaded again, without any file's bytes", async () => {
    const files = new Map(folderFiles(fixturePath("models/repos/sd15")));
    files.set("unet/diffusion_pytorch_model.bin", new Uint8Array(99_999));
    at.hub.repositories.set("org/sd", oneCommit(files));
    const options = { endpoint: at.hub.url, cacheDir: at.cache, revision: "main" };
    const first = await DiffusionPipeline.fromPretrained("org/sd", options);
    expect(first.constructor.name).toBe("StableDiffusionPipeline");
    expect(at.hub.seen.some(({ path: file }) => file.endsWith(".bin"))).toBe(false);
    const downloaded = at.hub.bytes();
    first.dispose();
    at.hub.seen.length = 0;
    const second = await DiffusionPipeline.fromPretrained("org/sd", options);
    expect(at.hub.seen.map(said)).toEqual(["api GET"]);
    second.dispose();
    at.hub.seen.length = 0;
    const files16 = { ...options, variant: "fp16", subfolder: "unet" };
    await expect(UNet2DConditionModel.fromPretrained("org/sd", files16)).rejects.toThrow(
      /diffusion_pytorch_model.fp16.safetensors: no such file in org\/sd \(commit a{40} has no such file\)/,
    );
    expect(downloaded).toBeGreaterThan(1_000_000);
    expect(at.hub.bytes()).toBe(0);
  });

  test("options in Python's spelling are understood: local_files_only forbids the network", async () => {
    at.hub.repositories.set("org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15"))));
    const options = { endpoint: at.hub.url, cacheDir: at.cache, local_files_only: true } as never;
    const classes: { fromPretrained(source: string, options: never): Promise<unknown> }[] = [
      DiffusionPipeline,
      FlaxStableDiffusionPipeline,
      UNet2DConditionModel,
      CLIPTextModel,
      CLIPTokenizer,
      DDIMScheduler,
      FlaxDDIMScheduler,
    ];
    for (const Class of classes)
      await expect(Class.fromPretrained("org/sd", options)).rejects.toThrow("localFilesOnly");
    const pickles = { use_safetensors: false } as Record<string, unknown>;
    const refused = "useSafetensors: false asks for pickles";
    await expect(UNet2DConditionModel.fromPretrained("org/sd", pickles)).rejects.toThrow(refused);
    await expect(DiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"), pickles)).rejects.toThrow(refused);
    expect(at.hub.seen).toEqual([]);
  });

  test("offline, all files that are missing are named at once, and nothing is put on the GPU", async () => {
    at.hub.repositories.set("org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15"))));
    const options = { endpoint: at.hub.url, cacheDir: at.cache };
    const repository = await openRepository("org/sd", options);
    for (const file of ["model_index.json", "vae/config.json", "tokenizer/vocab.json"]) await repository.open(file);
    at.hub.seen.length = 0;
    const device = await ensureDevice();
    const before = device.memoryUse;
    await expect(DiffusionPipeline.fromPretrained("org/sd", { ...options, localFilesOnly: true })).rejects.toThrow(
      new RegExp(
        "^vae/diffusion_pytorch_model.safetensors, text_encoder/config.json, text_encoder/model.safetensors, " +
          "tokenizer/merges.txt, unet/config.json, unet/diffusion_pytorch_model.safetensors and " +
          "scheduler/scheduler_config.json: no such files in org/sd \\(it is not in the cache .*, and localFilesOnly is set\\)$",
      ),
    );
    const unet = { ...options, localFilesOnly: true, subfolder: "unet" };
    await expect(UNet2DConditionModel.fromPretrained("org/sd", unet)).rejects.toThrow(
      /^unet\/config.json and unet\/diffusion_pytorch_model.safetensors: no such files in org\/sd/,
    );
    await expect(CLIPTokenizer.fromPretrained("org/none", unet)).rejects.toThrow(/revision main is not in the cache/);
    expect(device.memoryUse).toEqual(before);
    expect(at.hub.seen).toHaveLength(0);
  });

  test("the components of a pipeline are downloaded at the same time", async () => {
    at.hub.repositories.set("org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15"))));
    // No timing decides: the hub holds the first weights until it has been asked for those of all three models.
    const asked = new Set<string>();
    let release = (): void => undefined;
    const all = new Promise<void>((resolve) => (release = resolve));
    at.hub.fault = ({ path: file, method }) => {
      if (method === "GET" && file.endsWith(".safetensors")) asked.add(file);
      if (asked.size === 3) release();
      return undefined;
    };
    const waiting: typeof fetch = async (...request) => {
      const response = await fetch(...request);
      const url = String(request[0] instanceof Request ? request[0].url : request[0]);
      if (url.endsWith(".safetensors") && request[1]?.method !== "HEAD" && response.status < 300) await all;
      return response;
    };
    const options = { endpoint: at.hub.url, cacheDir: at.cache, fetch: waiting };
    const pipeline = await DiffusionPipeline.fromPretrained("org/sd", options);
    expect(asked.size).toBe(3);
    pipeline.dispose();
  });

  for (const opened of [false, true])
    test(`one component that cannot be loaded stops the others, and nothing stays${opened ? "; opened before" : ""}`, async () => {
      const files = new Map(folderFiles(fixturePath("models/repos/sd15")));
      at.hub.repositories.set("org/sd", oneCommit(files));
      const device = await ensureDevice();
      device.trim();
      await device.synchronize();
      const before = device.memoryUse.buffers;
      at.hub.fault = ({ path: file, at: place }) => {
        if (file === "text_encoder/model.safetensors" && place === "cdn") return { status: 404 };
        return place === "cdn" ? { stall: 1000 } : undefined; // the others would wait for ever
      };
      const options = { endpoint: at.hub.url, cacheDir: at.cache };
      const repository = opened ? await openRepository("org/sd", options) : "org/sd";
      const load = DiffusionPipeline.fromPretrained(repository, opened ? {} : options);
      await expect(load).rejects.toThrow(/^text_encoder\/model.safetensors of org\/sd: the server answered 404/);
      device.trim();
      await device.synchronize();
      expect(device.memoryUse.buffers).toBe(before);
      expect(filesBelow(path.join(at.cache, ".locks"))).toEqual([]);
      if (typeof repository === "string") return;
      at.hub.fault = () => undefined; // a load that failed has not ended what others may still read
      (await DiffusionPipeline.fromPretrained(repository)).dispose();
    });

  for (const opened of [false, true])
    test(`the caller's signal stops all components with its reason${opened ? "; opened before" : ""}`, async () => {
      at.hub.repositories.set("org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15"))));
      const controller = new AbortController();
      const reason = new Error("enough");
      let stalled = 0;
      at.hub.fault = ({ at: place }) => {
        if (place !== "cdn") return undefined;
        if (++stalled === 2) setTimeout(() => controller.abort(reason), 20);
        return { stall: 100 };
      };
      const options = { endpoint: at.hub.url, cacheDir: at.cache };
      const repository = opened ? await openRepository("org/sd", options) : "org/sd";
      const { signal } = controller;
      const load = DiffusionPipeline.fromPretrained(repository, opened ? { signal } : { ...options, signal });
      await expect(load).rejects.toBe(reason);
      expect(filesBelow(path.join(at.cache, ".locks"))).toEqual([]);
    });

  test("shards are fetched together, or not at all where one is missing", async () => {
    const files = new Map(folderFiles(fixturePath("models/repos/variants/unet-sharded")));
    const shards = [...files.keys()].filter((name) => /model-0000\d-of/.test(name)).sort();
    at.hub.repositories.set("org/shards", oneCommit(files));
    const options = { endpoint: at.hub.url, cacheDir: at.cache };
    (await UNet2DConditionModel.fromPretrained("org/shards", options)).dispose();
    for (const shard of shards)
      expect(at.hub.seen.filter(({ path: file }) => file === shard).map(said)).toEqual([
        `hub HEAD ${shard}`,
        `hub GET ${shard}`,
        `cdn GET ${shard}`,
      ]);
    files.delete(shards[1]);
    files.delete(shards[2]);
    at.hub.repositories.set("org/gap", oneCommit(files));
    at.hub.seen.length = 0;
    await expect(UNet2DConditionModel.fromPretrained("org/gap", options)).rejects.toThrow(
      `${shards[1]} and ${shards[2]}: no such files in org/gap (commit ${COMMIT} has no such file), ` +
        "but diffusion_pytorch_model.safetensors.index.json lists them",
    );
    expect(at.hub.seen.some(({ at: place, path: file }) => place === "cdn" && shards.includes(file))).toBe(false);
  });

  test("pickles are not even downloaded", async () => {
    const config = readFileSync(path.join(fixturePath("models/repos/sd15"), CONFIG));
    const pickle = new Map([[CONFIG, config] as const, ["unet/diffusion_pytorch_model.bin", new Uint8Array(99_999)]]);
    at.hub.repositories.set("org/old", oneCommit(pickle as Files));
    const options = { endpoint: at.hub.url, cacheDir: at.cache, subfolder: "unet" };
    await expect(UNet2DConditionModel.fromPretrained("org/old", options)).rejects.toThrow(
      /diffusion_pytorch_model.bin in org\/old: is a pickle/,
    );
    expect(at.hub.bytes()).toBe(config.length);
    const file = await (await openRepository("org/old", options)).open("unet/diffusion_pytorch_model.bin");
    expect(file?.size).toBe(99_999);
    await expect(file!.read()).rejects.toThrow(/is a pickle, which can run code/);
  });

  test("tokenizers and schedulers come from the hub, with their folder's files only", async () => {
    at.hub.repositories.set("org/sd", oneCommit(folderFiles(fixturePath("models/repos/sd15"))));
    const options = { endpoint: at.hub.url, cacheDir: at.cache };
    const tokenizer = await CLIPTokenizer.fromPretrained("org/sd", { subfolder: "tokenizer", ...options });
    expect(tokenizer("a cat").inputIds[0].length).toBeGreaterThan(3);
    const scheduler = await DDIMScheduler.fromPretrained("org/sd", {
      subfolder: "scheduler",
      clip_sample: true,
      ...options,
    });
    expect(scheduler.config.clip_sample).toBe(true);
    expect(scheduler.toJsonString()).not.toContain(at.cache);
    expect(scheduler.toJsonString()).not.toContain("endpoint");
    expect(at.hub.seen.every(({ path: file }) => /^$|^tokenizer\/|^scheduler\//.test(file))).toBe(true);
  });
});
