import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPTokenizer,
  DiffusionPipeline,
  UNet2DConditionModel,
  UNet2DModel,
  type Device,
  type Repository,
} from "../../src/index.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { changed, parseSafetensors, writeSafetensors, type Changes } from "../support/repositories.js";

const SD15 = fixturePath("models/repos/sd15");
const CIFAR = "models/repos/ddpm-cifar";
const WEIGHTS = "diffusion_pytorch_model.safetensors";

test("a device must be one", async () => {
  const device = "cuda" as unknown as Device;
  const refused = 'device must be a Device from requestDevice() or devices(), got "cuda"';
  await expect(AutoencoderKL.fromPretrained(SD15, { subfolder: "vae", device })).rejects.toThrow(refused);
  const vae = await AutoencoderKL.fromPretrained(SD15, { subfolder: "vae" });
  await expect(vae.recover({ device })).rejects.toThrow(refused);
  await expect(vae.copyTo([device])).rejects.toThrow(refused);
  vae.dispose();
});

describe("null among the options", () => {
  test("is as nothing where it says where and how to load", async () => {
    const nothing = {
      variant: null,
      useSafetensors: null,
      dtype: null,
      torchDtype: null,
      device: null,
      config: null,
      revision: null,
      token: null,
      endpoint: null,
      fetch: null,
      cacheDir: null,
      localFilesOnly: null,
      signal: null,
      progressCallback: null,
    };
    const vae = await AutoencoderKL.fromPretrained(SD15, { ...nothing, subfolder: "vae" });
    expect(vae.dtype).toBe("float32");
    vae.dispose();
    const unet = await UNet2DModel.fromPretrained(fixturePath(CIFAR), { ...nothing, subfolder: null });
    unet.dispose();
    const inPython = { subfolder: "vae", use_safetensors: null, torch_dtype: null, local_files_only: null };
    (await AutoencoderKL.fromPretrained(SD15, inPython)).dispose();
    await expect(AutoencoderKL.fromPretrained(SD15, { subfolder: "vae", useSafetensors: false })).rejects.toThrow(
      "AutoencoderKL: useSafetensors: false asks for pickles",
    );
  });

  test("is a value where it is a key of the config", async () => {
    const options = { subfolder: "unet", sample_size: null } as object; // the file has 8
    const unet = await UNet2DConditionModel.fromPretrained(SD15, options);
    expect(unet.config.sample_size).toBeNull();
    unet.dispose();
  });
});

test("outputLoadingInfo: the model, and what of its files it did not need", async () => {
  const empty = { missingKeys: [], unexpectedKeys: [], mismatchedKeys: [], errorMsgs: [] };
  const options = { subfolder: "vae", outputLoadingInfo: true, latents_mean: null } as const;
  const [vae, info] = await AutoencoderKL.fromPretrained(SD15, options);
  expect(vae).toBeInstanceOf(AutoencoderKL);
  expect(info).toEqual(empty);
  vae.dispose();
  const position_ids = { dtype: "I64", shape: [1, 2], bytes: new Uint8Array(16) };
  const file = "text_encoder/model.safetensors";
  const tensors = parseSafetensors(await readFixture(`models/repos/sd15/${file}`));
  for (const name of [...tensors.keys()]) if (name.endsWith("position_ids")) tensors.delete(name);
  const older = writeSafetensors(tensors.set("text_model.embeddings.position_ids", position_ids));
  const inPython = { subfolder: "text_encoder", output_loading_info: true } as unknown as typeof options;
  const [text, found] = await CLIPTextModel.fromPretrained(await changed(SD15, { [file]: older }), inPython);
  expect(text).toBeInstanceOf(CLIPTextModel);
  expect(found).toEqual({ ...empty, unexpectedKeys: ["text_model.embeddings.position_ids"] });
  text.dispose();
  for (const outputLoadingInfo of [false, null] as const) {
    const alone = await AutoencoderKL.fromPretrained(SD15, { subfolder: "vae", outputLoadingInfo });
    expect(alone).toBeInstanceOf(AutoencoderKL);
    alone.dispose();
  }
});

test("loadConfig gives a file's content, which fromConfig takes", async () => {
  const content = (await readFixtureJSON("models/repos/sd15/unet/config.json")) as Record<string, unknown>;
  const config = await UNet2DConditionModel.loadConfig(SD15, { subfolder: "unet", token: null });
  expect(config).toEqual(content);
  expect(UNet2DConditionModel.fromConfig(config).config.sample_size).toBe(content.sample_size);
  const cifar = await UNet2DModel.loadConfig(fixturePath(CIFAR), { subfolder: "unet" }); // at the root, too
  expect(cifar._class_name).toBe("UNet2DModel");
  await expect(UNet2DConditionModel.loadConfig(SD15)).rejects.toThrow(
    /^UNet2DConditionModel\.loadConfig: .* has no config\.json; does it lie in a subfolder\?$/,
  );
});

describe("config keys among the options", () => {
  test("override the file's", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(SD15, { subfolder: "unet", sample_size: 24 });
    expect(unet.config.sample_size).toBe(24);
    unet.dispose();
    const nested = { subfolder: "unet", config: { sample_size: 24 }, sample_size: undefined };
    const other = await UNet2DConditionModel.fromPretrained(SD15, nested);
    expect(other.config.sample_size).toBe(24);
    other.dispose();
    const text = await CLIPTextModel.fromPretrained(SD15, { subfolder: "text_encoder", eos_token_id: 5 });
    expect(text.config.eos_token_id).toBe(5);
    text.dispose();
    await expect(AutoencoderKL.fromPretrained(SD15, { subfolder: "vae", latent_channels: 3 })).rejects.toThrow(
      "[6, 6, 1, 1]",
    );
  });

  test("other names are ignored, as in Python", async () => {
    const options = { subfolder: "vae", nosuch: 24 };
    const vae = await AutoencoderKL.fromPretrained(SD15, options);
    expect("nosuch" in vae.config).toBe(false);
    vae.dispose();
  });

  test("but for its own keys in camelCase, which are refused", async () => {
    const message = "UNet2DConditionModel: has no option sampleSize (it is sample_size)";
    const options = { subfolder: "unet", sampleSize: 24 };
    await expect(UNet2DConditionModel.fromPretrained(SD15, options)).rejects.toThrow(message);
    await expect(UNet2DConditionModel.fromPretrained(SD15, { config: options })).rejects.toThrow(message);
    expect(() => UNet2DConditionModel.fromConfig({}, { sampleSize: 24 } as object)).toThrow(message);
  });

  test("fromConfig takes them, too", () => {
    const config = { block_out_channels: [32, 32], sample_size: 8, _class_name: "UNet2DConditionModel" };
    const types = { down_block_types: ["DownBlock2D", "DownBlock2D"], up_block_types: ["UpBlock2D", "UpBlock2D"] };
    const unet = UNet2DConditionModel.fromConfig({ ...config, ...types }, { sample_size: 24 });
    expect(unet).toBeInstanceOf(UNet2DConditionModel);
    expect([unet.config.sample_size, unet.config.in_channels]).toEqual([24, 4]);
    expect(() => UNet2DModel.fromConfig(unet.config)).toThrow("the config is that of another class");
    // @ts-expect-error a model is no config
    expect(() => UNet2DConditionModel.fromConfig(unet)).toThrow(
      "UNet2DConditionModel.fromConfig: needs a config object, got UNet2DConditionModel; pass its .config",
    );
    expect(() => new UNet2DModel(5 as never)).toThrow("UNet2DModel: needs a config object, got 5");
  });
});

describe("keys of a config.json that the class does not have", () => {
  const warnings: string[] = [];
  const { warn } = console;
  beforeEach(() => {
    warnings.length = 0;
    console.warn = (text: string) => void warnings.push(text);
  });
  afterEach(() => void (console.warn = warn));

  test("are warned of once, as Python does, and kept", async () => {
    const text = new TextDecoder().decode(await readFixture(`${CIFAR}/config.json`));
    const notes = '"_note": 1, "quantization_config": {}, "foo": 1, "bar": [1.0], "it\'s": null';
    const repository = await changed(fixturePath(CIFAR), {
      "config.json": new TextEncoder().encode(text.replace("{", `{ ${notes}, `)),
    });
    const unet = await UNet2DModel.fromPretrained(repository);
    const [copy] = await unet.copyTo([unet.device!]);
    // What diffusers 0.42.1 says.
    expect(warnings).toEqual([
      `The config attributes {'foo': 1, 'bar': [1.0], "it's": None} were passed to UNet2DModel, but are not expected and ` +
        "will be ignored. Please verify your config.json configuration file.",
    ]);
    for (const model of [unet, copy]) {
      expect((model.config as unknown as Record<string, unknown>).foo).toBe(1);
      model.dispose();
    }
  });
});

describe("where a folder is looked through for a model", () => {
  const local = async (source: string, changes: Changes): Promise<Repository> => {
    const { open, name } = await changed(fixturePath(source), changes);
    return { open, name, isLocal: true };
  };
  const load = async (changes: Changes): Promise<UNet2DModel> =>
    UNet2DModel.fromPretrained(await local(CIFAR, changes), { subfolder: "unet" });

  test("the root, where there is no such subfolder", async () => {
    const unet = await load({});
    expect(unet.config.sample_size).toBe(16);
    unet.dispose();
    await expect(
      UNet2DModel.fromPretrained(await changed(fixturePath(CIFAR), {}), { subfolder: "unet" }), // not local
    ).rejects.toThrow("unet/config.json: no such file");
    await expect(load({ [WEIGHTS]: null })).rejects.toThrow(`unet/${WEIGHTS}: no such file`);
  });

  test("configs in the subfolder first, weights at the root first, an index before a single file", async () => {
    const config = await readFixtureJSON<object>(`${CIFAR}/config.json`);
    const inFolder = { "unet/config.json": { ...config, sample_size: 8 } };
    const [first, second] = [
      await load({ ...inFolder, [`unet/${WEIGHTS}`]: new Uint8Array([1]) }), // no safetensors, were it read
      await load({
        ...inFolder,
        [WEIGHTS]: new Uint8Array([1]),
        [`unet/${WEIGHTS}.index.json`]: { weight_map: { all: "shard.safetensors" } },
        "unet/shard.safetensors": await readFixture(`${CIFAR}/${WEIGHTS}`),
      }),
    ];
    expect([first.config.sample_size, second.config.sample_size]).toEqual([8, 8]);
    for (const unet of [first, second]) unet.dispose();
  });

  test("who asks at the root of a pipeline is asked for the subfolder", async () => {
    const there = await changed(SD15, {});
    for (const repository of [there, { ...there, open: there.open.bind(there), isLocal: true }]) {
      const wanted = /config\.json.*: no such files? in .*; does it lie in a subfolder\?$/;
      await expect(UNet2DConditionModel.fromPretrained(repository)).rejects.toThrow(wanted);
    }
    await expect(CLIPTokenizer.fromPretrained(there)).rejects.toThrow(/vocab\.json.*does it lie in a subfolder\?$/);
    await expect(DiffusionPipeline.fromPretrained(await changed(SD15, { "model_index.json": null }))).rejects.toThrow(
      /no such file in [^;]*$/,
    );
  });

  test("text encoders in the subfolder only, as transformers does", async () => {
    const source = "models/repos/sd15";
    const repository = await local(source, {
      "text_encoder/model.safetensors": null,
      "text_encoder/config.json": null,
      "model.safetensors": await readFixture(`${source}/text_encoder/model.safetensors`),
      "config.json": await readFixtureJSON<object>(`${source}/text_encoder/config.json`),
    });
    await expect(CLIPTextModel.fromPretrained(repository, { subfolder: "text_encoder" })).rejects.toThrow(
      "text_encoder/config.json and text_encoder/model.safetensors: no such files",
    );
  });
});
