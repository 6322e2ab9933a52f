import { beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPTokenizer,
  DiffusionPipeline,
  PNDMScheduler,
  UNet2DConditionModel,
  type Repository,
} from "../../src/index.js";
import { ensureDevice, type Device } from "../../src/tensor/device.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { changed, parseSafetensors, writeSafetensors, type Changes } from "../support/repositories.js";
import { expectWithin } from "../support/timing.js";
import { ESCAPES, STRUCTURE, VALUES, WEIGHT_MAPS, type Content } from "./malformed_cases.js";

const REPO = "models/repos/sd15";
const WEIGHTS = "vae/diffusion_pytorch_model.safetensors";
const INDEX = "vae/diffusion_pytorch_model.safetensors.index.json";
const MAX_MS = 1000;

type Loader = (repository: Repository) => Promise<unknown>;
const LOADERS: Record<string, Loader> = {
  unet: (repository) => UNet2DConditionModel.fromPretrained(repository, { subfolder: "unet" }),
  vae: (repository) => AutoencoderKL.fromPretrained(repository, { subfolder: "vae" }),
  text_encoder: (repository) => CLIPTextModel.fromPretrained(repository, { subfolder: "text_encoder" }),
  tokenizer: (repository) => CLIPTokenizer.fromPretrained(repository, { subfolder: "tokenizer" }),
  scheduler: (repository) => PNDMScheduler.fromPretrained(repository, { subfolder: "scheduler" }),
  "model_index.json": (repository) => DiffusionPipeline.fromPretrained(repository),
};

let device: Device;
const canary = globalThis as { canary?: string };
beforeAll(async () => {
  device = await ensureDevice();
  canary.canary = "untouched";
});

/** The error of a load; it comes soon, allocates nothing and runs nothing. */
async function refusal(load: () => Promise<unknown>): Promise<string> {
  const before = device.memoryUse;
  const message = await expectWithin(MAX_MS, () =>
    load().then(
      () => "it was loaded",
      (error: Error) => error.message,
    ),
  );
  expect(device.memoryUse).toEqual(before);
  expect(canary.canary).toBe("untouched");
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  expect(message.length).toBeLessThan(4000);
  return message;
}

async function put(file: string, content: Content): Promise<Repository> {
  let value: Uint8Array | object | null;
  if (typeof content === "string") value = new TextEncoder().encode(content);
  else if (content === null || content instanceof Uint8Array) value = content;
  else value = { ...(await readFixtureJSON<object>(`${REPO}/${file}`)), ...content };
  return changed(fixturePath(REPO), { [file]: value });
}

describe("malformed files", () => {
  for (const { title, file, content, says } of [...STRUCTURE, ...VALUES])
    test(title, async () => {
      const repository = await put(file, content);
      const message = await refusal(() => LOADERS[file.split("/")[0]](repository));
      expect(message).toContain(says);
      // Schedulers know their class, not the file that a config came from; weights that do not fit name their own file.
      const names = [
        file,
        file.startsWith("scheduler") ? "PNDMScheduler" : `${file.split("/")[0]}/diffusion_pytorch_model`,
      ];
      expect(names.some((name) => message.includes(name))).toBe(true);
    });
});

describe("malformed checkpoints in shards", () => {
  /** Two files, each with half of the VAE. */
  async function shards(index: unknown, change: (a: Shard, b: Shard) => void = () => undefined): Promise<Repository> {
    const tensors = [...parseSafetensors(await readFixture(`${REPO}/${WEIGHTS}`))];
    const [a, b] = [new Map(tensors.slice(0, 60)), new Map(tensors.slice(60))];
    change(a, b);
    const files: Changes = { "vae/a.safetensors": writeSafetensors(a), "vae/b.safetensors": writeSafetensors(b) };
    const map = Object.fromEntries([...a.keys()].map((key) => [key, "a.safetensors"]));
    for (const key of b.keys()) map[key] ??= "b.safetensors";
    return changed(fixturePath(REPO), { ...files, [WEIGHTS]: null, [INDEX]: (index ?? { weight_map: map }) as object });
  }
  type Shard = ReturnType<typeof parseSafetensors>;

  test("whole, they load", async () => {
    const model = (await LOADERS.vae(await shards(null))) as AutoencoderKL;
    model.dispose();
    device.trim();
    await device.synchronize();
  });

  for (const [title, index, says] of WEIGHT_MAPS)
    test(`weight_map: ${title}`, async () => {
      const repository = await shards(index);
      const message = await refusal(() => LOADERS.vae(repository));
      expect(message).toContain(says);
      expect(message).toMatch(/index\.json|a\.safetensors|repository path/);
    });

  for (const path of ESCAPES)
    test(`a shard named ${JSON.stringify(path).slice(0, 30)}`, async () => {
      const repository = await shards({ weight_map: { "decoder.conv_in.bias": `${path}.safetensors` } });
      expect(await refusal(() => LOADERS.vae(repository))).toMatch(/index\.json: a shard must be|repository path/);
      const bare = await shards({ weight_map: { "decoder.conv_in.bias": path } });
      expect(await refusal(() => LOADERS.vae(bare))).toMatch(/index\.json: a shard must be/);
    });

  test("a tensor in two shards", async () => {
    const repository = await shards(null, (a, b) => b.set("decoder.conv_in.bias", a.get("decoder.conv_in.bias")!));
    const message = await refusal(() => LOADERS.vae(repository));
    expect(message).toContain("decoder.conv_in.bias: the tensor occurs twice");
    expect(message).toContain("vae/a.safetensors, vae/b.safetensors");
  });

  test("a tensor in no shard, though the index names one", async () => {
    const index = { weight_map: { "decoder.conv_in.bias": "a.safetensors", "encoder.conv_in.bias": "b.safetensors" } };
    const repository = await shards(index, (a) => a.delete("decoder.conv_in.bias"));
    expect(await refusal(() => LOADERS.vae(repository))).toContain("missing decoder.conv_in.bias");
  });

  test("a shard that is a pickle, and one that is a page", async () => {
    for (const [bytes, says] of [
      [Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0, 0, 0, 0, 0, 0, 0), /a\.safetensors: is a Python pickle/],
      [new TextEncoder().encode("<!DOCTYPE html><html>log in</html>"), /a\.safetensors: is an HTML page/],
    ] as const) {
      const whole = await shards(null);
      const repository: Repository = {
        name: whole.name,
        open: async (path) =>
          path === "vae/a.safetensors"
            ? { path, size: bytes.length, read: async (start = 0, end = bytes.length) => bytes.slice(start, end) }
            : whole.open(path),
      };
      expect(await refusal(() => LOADERS.vae(repository))).toMatch(says);
    }
  });
});

describe("paths of the caller", () => {
  for (const path of ESCAPES.filter((escape) => escape !== "" && escape !== "x/" && escape !== "~/x/"))
    test(`subfolder ${JSON.stringify(path).slice(0, 30)}`, async () => {
      const repository = await put("unet/config.json", {});
      const load = (): Promise<unknown> => UNet2DConditionModel.fromPretrained(repository, { subfolder: path });
      expect(await refusal(load)).toMatch(/repository path/);
    });

  test("a variant that is no word", async () => {
    const repository = await put("unet/config.json", {});
    for (const variant of ["../fp16", "a/b", "", " ", "a.b", "a\0"]) {
      if (variant === "") continue; // no variant
      const load = (): Promise<unknown> =>
        UNet2DConditionModel.fromPretrained(repository, { subfolder: "unet", variant });
      expect(await refusal(load)).toContain("variant: must be a word");
    }
  });
});

test("a component of the wrong kind is found out, and what was loaded before it is freed", async () => {
  for (const [unet, says] of [
    [["transformers", "CLIPTokenizer"], /unet\/vocab\.json: no such file/],
    [["diffusers", "AutoencoderKL"], /unet\/config\.json .*AutoencoderKL: the config is that of another class/],
    [["diffusers", "PNDMScheduler"], /PNDMScheduler/],
  ] as const) {
    const repository = await put("model_index.json", { unet });
    const { buffers } = device.memoryUse;
    await expect(LOADERS["model_index.json"](repository)).rejects.toThrow(says);
    device.trim();
    await device.synchronize();
    expect(device.memoryUse.buffers).toBe(buffers);
  }
});

test("a key named constructor or prototype is a value like any other", async () => {
  const evil = { constructor: { prototype: { polluted: true } }, prototype: { polluted: true }, toString: 1 };
  const repository = await put("scheduler/scheduler_config.json", evil);
  expect(((await LOADERS.scheduler(repository)) as PNDMScheduler).className).toBe("PNDMScheduler");
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  const vae = (await LOADERS.vae(await put("vae/config.json", evil))) as AutoencoderKL;
  expect((vae.config as { toString: unknown }).toString).toBe(1);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  vae.dispose();
});
