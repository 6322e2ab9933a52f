import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AutoencoderTiny, ControlNetModel } from "../../src/index.js";
import { fixturePath } from "../support/files.js";

// What diffusers 0.42.1 wrote: model = Class.from_pretrained(repo); model.save_pretrained(a);
// model.save_pretrained(b, variant="fp16", max_shard_size="60KB"). `config` is without the line of _name_or_path; the index
// says which shard holds which tensor. scripts/interchange.mjs compares every file of every class.
const PYTHON = [
  {
    Class: ControlNetModel,
    repo: "controlnet",
    config: "3350a2c13c5babeff10f74cd79eea61461fdd9571a487ffc011363f20715978e",
    whole: "3225614ba35564ac94c4da2bc056f74a47130390129d2185164be01ddf3b33f9",
    index: "49bb8b1769c7d5604019de80af4cab135e10e0d90859ebec649e0b5d507bc408",
  },
  {
    Class: AutoencoderTiny,
    repo: "taesd",
    config: "d546aed5a29443b0da39a07b5538127ac33088e8a1c7373e92d6f83a5bfb4cba",
    whole: "0bec79d5c24dec6b8ee1c0c7f10d3b1d8663b79104eaf278c5571402f68bd284",
    index: "aaffee1e012e85718ef635900a2dc246bb991792d5d62882d07c0fd9b6722505",
  },
] as const;

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-classes-"))));
afterAll(() => rm(root, { recursive: true, force: true }));
const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

for (const { Class, repo, config, whole, index } of PYTHON)
  test(`${Class.className}: the bytes of Python`, async () => {
    const source = fixturePath(`models/repos/${repo}`);
    const load = async (): Promise<ControlNetModel | AutoencoderTiny> =>
      Class === ControlNetModel ? ControlNetModel.fromPretrained(source) : AutoencoderTiny.fromPretrained(source);
    const model = await load();
    const folder = join(root, repo);
    await model.savePretrained(folder);
    await model.savePretrained(folder, { variant: "fp16", maxShardSize: "60KB" });
    model.dispose();
    expect(sha256(await readFile(join(folder, "diffusion_pytorch_model.safetensors")))).toBe(whole);
    expect(sha256(await readFile(join(folder, "diffusion_pytorch_model.safetensors.index.fp16.json")))).toBe(index);
    const text = await readFile(join(folder, "config.json"), "utf8");
    const line = `  "_name_or_path": ${JSON.stringify(source)},\n`;
    expect(text).toContain(line);
    expect(sha256(text.replace(line, ""))).toBe(config);
  });
