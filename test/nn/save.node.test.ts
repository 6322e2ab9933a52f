import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AutoencoderKL, CLIPTextModel, UNet2DConditionModel } from "../../src/index.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { float32ToFloat16 } from "../../src/tensor/dtype.js";
import { fixturePath, readFixture } from "../support/files.js";
import { changed, parseSafetensors, type RawTensor } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

const REPO = "models/repos/sd15";
const STEM = "diffusion_pytorch_model";

let root = "";
let folders = 0;
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-"))));
afterAll(() => rm(root, { recursive: true, force: true }));
const newFolder = (): string => join(root, `folder-${folders++}`);

const sha256 = async (...path: string[]): Promise<string> =>
  createHash("sha256")
    .update(await readFile(join(...path)))
    .digest("hex");
const sha256OfText = (text: string): string => createHash("sha256").update(text).digest("hex");
const saved = async (...path: string[]): Promise<Map<string, RawTensor>> =>
  parseSafetensors(new Uint8Array(await readFile(join(...path))));
const original = async (path: string): Promise<Map<string, RawTensor>> =>
  parseSafetensors(await readFixture(`${REPO}/${path}`));
const load = (name: "unet" | "vae", source: string, options = {}): Promise<UNet2DConditionModel | AutoencoderKL> =>
  name === "unet"
    ? UNet2DConditionModel.fromPretrained(source, options)
    : AutoencoderKL.fromPretrained(source, options);

function expectSameTensors(actual: Map<string, RawTensor>, expected: Map<string, RawTensor>): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { dtype, shape, bytes }] of expected) {
    const tensor = actual.get(name) as RawTensor;
    expect([name, tensor.dtype, tensor.shape]).toEqual([name, dtype, shape]);
    expect(Buffer.compare(tensor.bytes, bytes)).toBe(0);
  }
}

// What Python wrote for the same models: diffusers 0.42.1, safetensors 0.8.0, torch 2.13.0, with
//   model = UNet2DConditionModel.from_pretrained("test/fixtures/models/repos/sd15", subfolder="unet")
//   model.save_pretrained(a); model.save_pretrained(b, max_shard_size="200KB", variant="fp16")
//   model.to(torch.float16).save_pretrained(c, variant="fp16")
// and transformers 5.23.0 for the text encoder. `config` is without the line of _name_or_path, or transformers_version.
const PYTHON = {
  unet: {
    config: "95c46abe0c914659b6864e659a91595beca503e01bfb74ddf1cfa89a4bf7bcab",
    whole: "9270dc440ce629b4c35715741753abd599b4579d29e4ad1e6f31a29502a1469b",
    half: "1348454ea728969b9b33a97b4eea986ec6b4da8f4c1565d44cd0a7e05f88df81",
    index: "f45702c4b8cc5917b9e3d356db91842cebcc248aa1c0cc3f84cf765e972dd65e",
    shards: [
      "b93db6d3da9154b630e9ca3237ae595c3c860249e13deed6f0e36f625fd41f8f",
      "06eb192b867a8562278c433e75af48e9761fa162109f82d27907045aecde2fdb",
      "cbc9d4337168eed78400b56a37c818b4559bccebbc6e1b5fd588a7c774ef11ec",
      "d8377c7aede03f0b5f38e44d2f1cf76f5abacf21c7e34fba94a153ab6f60b412",
      "a1155cebc2a068d0e3624393c7c27dc253792c35a9b8a49a4d7b2d51aec8fa30",
      "bf4fd484c080a9b8d757d38b9afc4ae1f432891555f7a35796b2faf0a9f0c7fb",
      "4078f9b58e894b60fbf9f9acc8f249d521a005530276004720f4a0a9aa76c4c3",
      "2fade7bbc81059851d169a975b6e5e4981b7c1e1a8432fa6be3c1fb47a45b74d",
    ],
  },
  vae: {
    config: "291c7c438fd28f0089fe50247c283e3b92740d2a37d075e38afd543c0c75fca4",
    whole: "4ef2d04cc3a891c2b40f1ca76d091db1fa592601787918cd67fc8bb76e34c543",
    half: "725f81e9c9683ebd36a7f84bf75fcca0911b9bce0315bd339ad12f07d9a9926a",
    index: "006f59e988ec5714283077c4d73c4329df70cf3920418e2a5ed9429f6de448fa",
    shards: [
      "8c22c8c6fc5aea8b4d6c6cd723e3be2eba74a097f182d9e5a9c49b31a12474e7",
      "694dfb0be49e00e0c358183fbf091c20286624ab46a50d9bca1401de3bb1d02d",
    ],
  },
  text_encoder: {
    config: "0795876cfa8653fcd274fbc3d9e8a2a050616a1116468681ec213e0f34603a10",
    whole: "e8385c15dad2f47d0e538bff2f1227ad6c17fe5aa56dd8636fe4447926e95ec4",
    index: "58bee037645e5200c581343a69c20bdfaa8db665fae928d67561243b7418586c",
    shards: [
      "cbbcd999371e93c53e5a6b200be65a61eb6dd9038748e919751ac9121e9a6d57",
      "568c4e49ec574d2a09c32b2c13293b1fb1de1858a40e9dd35e751f193ebe42bb",
      "db16be02d4148de4c4fdd85db9f8ba61d1926e5be86716056f5b0dbecfd907c7",
    ],
  },
} as const;

for (const name of ["unet", "vae"] as const)
  describe(`savePretrained of ${name}`, () => {
    let model: UNet2DConditionModel | AutoencoderKL;
    beforeAll(async () => void (model = await load(name, fixturePath(REPO), { subfolder: name })));
    afterAll(() => model.dispose());

    test("one file: the tensors of the original, the bytes of Python", async () => {
      const folder = newFolder();
      await model.savePretrained(folder);
      expect((await readdir(folder)).sort()).toEqual(["config.json", `${STEM}.safetensors`]);
      expectSameTensors(await saved(folder, `${STEM}.safetensors`), await original(`${name}/${STEM}.safetensors`));
      expect(await sha256(folder, `${STEM}.safetensors`)).toBe(PYTHON[name].whole);
    });

    test("float16 with a variant: rounded as torch rounds", async () => {
      const folder = newFolder();
      await model.savePretrained(folder, { variant: "fp16", dtype: "float16" });
      expect((await readdir(folder)).sort()).toEqual(["config.json", `${STEM}.fp16.safetensors`]);
      expect(await sha256(folder, `${STEM}.fp16.safetensors`)).toBe(PYTHON[name].half);
    });

    test("shards and their index have Python's names and bytes, and load", async () => {
      const folder = newFolder();
      await model.savePretrained(folder, { variant: "fp16", maxShardSize: "200KB" });
      const { index, shards } = PYTHON[name];
      const number = (n: number): string => String(n).padStart(5, "0");
      const names = shards.map((_, i) => `${STEM}.fp16-${number(i + 1)}-of-${number(shards.length)}.safetensors`);
      expect((await readdir(folder)).sort()).toEqual(
        ["config.json", ...names, `${STEM}.safetensors.index.fp16.json`].sort(),
      );
      for (const [i, shard] of names.entries()) expect([i, await sha256(folder, shard)]).toEqual([i, shards[i]]);
      expect(await sha256(folder, `${STEM}.safetensors.index.fp16.json`)).toBe(index);

      const again = await load(name, folder, { variant: "fp16" });
      const whole = newFolder();
      await again.savePretrained(whole);
      again.dispose();
      expect(await sha256(whole, `${STEM}.safetensors`)).toBe(PYTHON[name].whole);
    });

    test("config.json is Python's, and says where the model came from", async () => {
      const folder = newFolder();
      await model.savePretrained(folder);
      const text = await readFile(join(folder, "config.json"), "utf8");
      const line = `  "_name_or_path": ${JSON.stringify(fixturePath(REPO))},\n`;
      expect(text).toContain(line);
      expect(sha256OfText(text.replace(line, ""))).toBe(PYTHON[name].config);
    });
  });

describe("savePretrained", () => {
  test("loadConfig and saveConfig: config.json alone, as fromPretrained and savePretrained have it", async () => {
    const source = fixturePath(REPO);
    const config = await AutoencoderKL.loadConfig(source, { subfolder: "vae" });
    expect(config).toEqual(JSON.parse(new TextDecoder().decode(await readFixture(`${REPO}/vae/config.json`))));
    const made = AutoencoderKL.fromConfig(config);
    const [folder, whole] = [newFolder(), newFolder()];
    await made.saveConfig(folder);
    expect(await readdir(folder)).toEqual(["config.json"]);
    expect(await sha256(folder, "config.json")).toBe(PYTHON.vae.config);

    const model = await AutoencoderKL.fromPretrained(source, { subfolder: "vae" });
    await model.savePretrained(whole);
    const before = await sha256(whole, `${STEM}.safetensors`);
    await model.saveConfig(whole);
    expect((await readdir(whole)).sort()).toEqual(["config.json", `${STEM}.safetensors`]);
    expect(await sha256(whole, `${STEM}.safetensors`)).toBe(before);
    expect(await AutoencoderKL.loadConfig(whole)).toEqual({ ...model.config });
    // Beside the folder of a local repository, as fromPretrained finds it.
    expect(await AutoencoderKL.loadConfig(whole, { subfolder: "vae" })).toEqual({ ...model.config });
    model.dispose();

    const text = await CLIPTextModel.loadConfig(source, { subfolder: "text_encoder" });
    expect(text.hidden_size).toBe(32);
    await expect(AutoencoderKL.loadConfig(source, { subfolder: "nosuch" })).rejects.toThrow("nosuch/config.json");
    await expect(AutoencoderKL.loadConfig(source, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow(
      "no",
    );
  });

  test("takes Python's spelling of its options", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae" });
    const options = { max_shard_size: "200KB", variant: "fp16" } as object;
    const folder = newFolder();
    await model.savePretrained(folder, options);
    expect(await readdir(folder)).toContain(`${STEM}.fp16-00002-of-00002.safetensors`);
    await expect(model.savePretrained(newFolder(), { ...options, maxShardSize: 1e6 })).rejects.toThrow(
      "AutoencoderKL.savePretrained: got both `maxShardSize` and `max_shard_size`",
    );
    model.dispose();
  });

  test("numbers of the config stay the ints and floats that the file had", async () => {
    const file = new TextDecoder().decode(await readFixture("models/repos/sd15/vae/config.json"));
    const text = file
      .replace(/"scaling_factor": [^,\n]+/, '"scaling_factor": 1')
      .replace(/"sample_size": \d+/, '"sample_size": 16,\n  "another": [1.0, 2.0]');
    const source = await changed(fixturePath(`${REPO}/vae`), { "config.json": new TextEncoder().encode(text) });
    const model = await AutoencoderKL.fromPretrained(source, { shift_factor: 2 });
    const folder = newFolder();
    await model.savePretrained(folder);
    model.dispose();
    const written = (await readFile(join(folder, "config.json"), "utf8")).replace(/\s+/g, " ");
    for (const line of ['"scaling_factor": 1,', '"another": [ 1.0, 2.0 ],', '"sample_size": 16,', '"shift_factor": 2,'])
      expect(written).toContain(line);
  });

  test("a text encoder keeps its prefix and gets a config that transformers reads", async () => {
    const model = await CLIPTextModel.fromPretrained(fixturePath(REPO), { subfolder: "text_encoder" });
    const folder = newFolder();
    await model.savePretrained(folder, { dtype: "float32" });
    const cut = newFolder();
    await model.savePretrained(cut, { maxShardSize: "200KB", variant: "fp16" });
    model.dispose();
    const names = (await readdir(cut)).filter((name) => name.includes("-of-")).sort();
    const { index, shards } = PYTHON.text_encoder;
    expect(await Promise.all(names.map((name) => sha256(cut, name)))).toEqual(shards);
    expect(await sha256(cut, "model.safetensors.index.fp16.json")).toBe(index);
    const expected = await original("text_encoder/model.safetensors");
    expected.delete("text_model.embeddings.position_ids"); // 0..76, which is no weight
    expectSameTensors(await saved(folder, "model.safetensors"), expected);
    expect(await sha256(folder, "model.safetensors")).toBe(PYTHON.text_encoder.whole);
    const text = await readFile(join(folder, "config.json"), "utf8");
    expect(sha256OfText(text.replace(/ *"transformers_version".*\n/, ""))).toBe(PYTHON.text_encoder.config);
  });

  test("unknown options are warned of, with those that there are, and pickles are refused", async () => {
    const text = new CLIPTextModel({ num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 1 });
    const warnings: string[] = [];
    const { warn } = console;
    console.warn = (message: string) => void warnings.push(message);
    try {
      const save = (options: object): Promise<void> => text.savePretrained(newFolder(), options);
      await expect(save({ pushToHub: true, nosuch: 1, safeSerialization: true })).rejects.toThrow("has no value");
      for (const name of ["safeSerialization", "safe_serialization"])
        await expect(save({ [name]: false })).rejects.toThrow(
          `CLIPTextModel.savePretrained: ${name}: false asks for pickles (.bin), which are never written; leave it out`,
        );
    } finally {
      console.warn = warn;
    }
    expect(warnings).toEqual([
      "CLIPTextModel.savePretrained: options that it does not have are ignored: `pushToHub` (there are variant, maxShardSize, dtype), " +
        "`nosuch` (there are variant, maxShardSize, dtype)",
    ]);
  });

  test("options that are null are as none", async () => {
    const vae = await load("vae", fixturePath(REPO), { subfolder: "vae" });
    const nothing = { variant: null, maxShardSize: null, dtype: null };
    const given = newFolder();
    expect(await warnings(() => vae.savePretrained(given, nothing))).toEqual([]);
    expect(await sha256(given, "diffusion_pytorch_model.safetensors")).toBe(PYTHON.vae.whole);
    vae.dispose();
  });

  test("a float16 model is saved in float16, and exactly so in float32", async () => {
    const options = { subfolder: "vae", dtype: "float16" } as const;
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), options);
    const [half, whole] = [newFolder(), newFolder()];
    await model.savePretrained(half);
    await model.savePretrained(whole, { dtype: "float32" });
    model.dispose();
    const halves = await saved(half, `${STEM}.safetensors`);
    for (const [name, { dtype, bytes }] of await saved(whole, `${STEM}.safetensors`)) {
      expect([dtype, halves.get(name)?.dtype]).toEqual(["F32", "F16"]);
      const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      expect(Buffer.compare(Buffer.from(float32ToFloat16(values).buffer), halves.get(name)!.bytes)).toBe(0);
    }
  });

  test("older weights of the same name and variant go, others stay", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae" });
    const folder = newFolder();
    await model.savePretrained(folder, { maxShardSize: "200KB" });
    await model.savePretrained(folder, { maxShardSize: 100_000, variant: "fp16" });
    const other = (await readdir(folder)).filter((name) => name.includes("fp16"));
    await writeFile(join(folder, "notes.txt"), "mine");
    await mkdir(join(folder, "notes"));
    await model.savePretrained(folder);
    const left = ["config.json", `${STEM}.safetensors`, "notes", "notes.txt", ...other].sort();
    expect((await readdir(folder)).sort()).toEqual(left);
    (await AutoencoderKL.fromPretrained(folder)).dispose(); // Python's leaves an index here that names missing shards
    await model.savePretrained(folder, { maxShardSize: "200KB" });
    expect((await readdir(folder)).includes(`${STEM}.safetensors`)).toBe(false);
    (await AutoencoderKL.fromPretrained(folder)).dispose();
    model.dispose();
  });

  test("a failed save changes nothing and leaves nothing", async () => {
    const device = await ensureDevice();
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae" });
    const folder = newFolder();
    const wrong: [object, RegExp][] = [
      [{ dtype: "bfloat16" }, /AutoencoderKL\.savePretrained: dtype must be "float32" or "float16", got "bfloat16"/],
      [{ variant: "../fp16" }, /variant must be a word such as "fp16", got "..\/fp16"/],
      [{ maxShardSize: "10 apples" }, /maxShardSize must be a number of bytes.*got "10 apples"/],
      [{ maxShardSize: 0 }, /maxShardSize must be a number of bytes.*got 0/],
    ];
    for (const [options, message] of wrong)
      await expect(model.savePretrained(folder, options)).rejects.toThrow(message);
    expect((await readdir(root)).filter((name) => folder.endsWith(name) || name.endsWith(".tmp"))).toEqual([]);

    await model.savePretrained(folder);
    const before = await sha256(folder, `${STEM}.safetensors`);
    const [, parameter] = [...model.parameters()][40];
    parameter.dispose();
    await expect(model.savePretrained(folder, { dtype: "float16" })).rejects.toThrow(/has no value/);
    expect((await readdir(folder)).sort()).toEqual(["config.json", `${STEM}.safetensors`]);
    expect(await sha256(folder, `${STEM}.safetensors`)).toBe(before);

    await writeFile(join(root, "file"), "");
    await expect(model.savePretrained(join(root, "file"))).rejects.toThrow(/file: is a file; give a folder/);
    await expect(model.savePretrained("")).rejects.toThrow(/needs a folder/);
    model.dispose();
    device.trim();
    await device.synchronize();
  });

  test("a write that fails half-way leaves the folder as it was", async () => {
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae" });
    const folder = newFolder();
    await model.savePretrained(folder);
    const before = await sha256(folder, `${STEM}.safetensors`);
    const { saveFolder } = await import("../../src/loader/save_folder_node.js");
    const failing = saveFolder(folder, async (target) => {
      await model.saveTo(target, "");
      throw new Error("the GPU was lost");
    });
    await expect(failing).rejects.toThrow("the GPU was lost");
    expect((await readdir(folder)).sort()).toEqual(["config.json", `${STEM}.safetensors`]);
    expect(await sha256(folder, `${STEM}.safetensors`)).toBe(before);
    model.dispose();
  });

  test("an object takes the files instead of a folder; GPU memory goes back", async () => {
    const device = await ensureDevice();
    const model = await AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae" });
    device.trim();
    await device.synchronize();
    const before = device.memoryUse;
    const files = new Map<string, number>();
    let largest = 0;
    const target = {
      name: "memory",
      list: async () => [],
      remove: async () => undefined,
      async write(path: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
        let bytes = 0;
        for await (const piece of pieces) {
          bytes += piece.length;
          largest = Math.max(largest, piece.buffer.byteLength);
        }
        files.set(path, bytes);
      },
    };
    await model.savePretrained(target);
    const size = (await readFixture(`${REPO}/vae/${STEM}.safetensors`)).length;
    expect([files.get(`${STEM}.safetensors`), files.has("config.json")]).toEqual([size, true]);
    expect(largest).toBeLessThanOrEqual(4 << 20);
    await device.synchronize();
    expect(device.memoryUse.buffers).toBe(before.buffers);
    model.dispose();
  });
});
