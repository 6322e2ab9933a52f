// What calls take for their options: an object, or null as nothing. Anything else would do nothing without a word.
import { expect, test } from "vitest";
import { plainOptions } from "../../src/arguments/options.js";
import { deleteFrom } from "../../src/loader/hub/delete_from_cache.js";
import { hubOptions } from "../../src/loader/hub/hub_options.js";
import {
  AutoencoderKL,
  bits,
  CLIPTokenizer,
  DDIMScheduler,
  DiffusionPipeline,
  deviceCount,
  devices,
  estimateMemory,
  FlaxDDIMScheduler,
  FlaxStableDiffusionPipeline,
  Generator,
  openRepository,
  PRNGKey,
  randnTensor,
  requestDevice,
  restoreState,
  split,
  StableDiffusionPipeline,
  Tensor,
  tune,
  UNet2DConditionModel,
  type Repository,
  type SaveTarget,
} from "../../src/index.js";
import { testDevice } from "../support/gpu.js";

// In a browser all tests share one page, and its first device is the default: not one of those that are made and destroyed here.
await testDevice();

const EMPTY: Repository = { name: "empty", open: () => Promise.resolve(null) };
const NOWHERE: SaveTarget = {
  name: "nowhere",
  list: () => Promise.resolve([]),
  write: () => Promise.resolve(),
  remove: () => Promise.resolve(),
};
const UNET = { block_out_channels: [32, 64], down_block_types: ["DownBlock2D", "DownBlock2D"] };
const unet = (): UNet2DConditionModel =>
  new UNet2DConditionModel({ ...UNET, up_block_types: ["UpBlock2D", "UpBlock2D"], layers_per_block: 1 });

/** With options that Python code, or a slip, may give. Without any they end in an error, or in something small. */
const CALLS: Record<string, (options: never) => unknown> = {
  "DiffusionPipeline.fromPretrained": (options) => DiffusionPipeline.fromPretrained(EMPTY, options),
  "StableDiffusionPipeline.fromPretrained": (options) => StableDiffusionPipeline.fromPretrained(EMPTY, options),
  "FlaxStableDiffusionPipeline.fromPretrained": (options) => FlaxStableDiffusionPipeline.fromPretrained(EMPTY, options),
  "UNet2DConditionModel.fromPretrained": (options) => UNet2DConditionModel.fromPretrained(EMPTY, options),
  "UNet2DConditionModel.loadConfig": (options) => UNet2DConditionModel.loadConfig(EMPTY, options),
  "AutoencoderKL.fromConfig": (options) => AutoencoderKL.fromConfig({}, options).config,
  "UNet2DConditionModel.recover": (options) => unet().recover(options),
  "UNet2DConditionModel.savePretrained": (options) => unet().savePretrained(NOWHERE, options),
  "DDIMScheduler.fromPretrained": (options) => DDIMScheduler.fromPretrained(EMPTY, options),
  "DDIMScheduler.loadConfig": (options) => DDIMScheduler.loadConfig(EMPTY, options),
  "DDIMScheduler.fromConfig": (options) => DDIMScheduler.fromConfig({}, options as null).config,
  "DDIMScheduler.savePretrained": (options) => new DDIMScheduler().savePretrained(NOWHERE, options),
  "FlaxDDIMScheduler.fromPretrained": (options) => FlaxDDIMScheduler.fromPretrained(EMPTY, options),
  "CLIPTokenizer.fromPretrained": (options) => CLIPTokenizer.fromPretrained(EMPTY, options),
  estimateMemory: (options) => estimateMemory(EMPTY, options),
  openRepository: async (options) => (await openRepository(EMPTY, options)).name,
  requestDevice: async (options) => (await requestDevice(options)).destroy(),
  devices: async (options) => (await devices(options)).length,
  tune: (options) => tune(5 as never, options),
  "Tensor.from": (options) => Tensor.from([1], [1], options).dtype,
  "Generator.randn": (options) => new Generator().manualSeed(8).randn([2], options),
  "Generator.rand": (options) => new Generator().manualSeed(8).rand([2], options),
  randnTensor: (options) => randnTensor([2], options).length,
  split: (options) => split(PRNGKey(0), 2, options),
  bits: (options) => bits(PRNGKey(0), [2], options),
  restoreState: (options) => restoreState("{}", options),
};

async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

test("null is as no options", async () => {
  for (const [name, call] of Object.entries(CALLS))
    expect(await outcome(() => call(null as never)), name).toEqual(await outcome(() => call(undefined as never)));
  expect(await deviceCount(null)).toBe(await deviceCount());
  expect(plainOptions(null, [])).toEqual({});
});

test("what is no object is refused, by the name of the call and with what there is", async () => {
  for (const [name, call] of Object.entries(CALLS))
    for (const [wrong, text] of [
      ["float16", '"float16"'],
      [5, "5"],
      [["float16"], '["float16"]'],
      [new Map(), "Map"],
    ]) {
      const error = await outcome(() => call(wrong as never));
      expect(error, name).toBeInstanceOf(TypeError);
      expect((error as Error).message.slice(0, name.length + 60), name).toContain(
        `${name}: options must be an object, got ${String(text)} (there are `,
      );
    }
});

test("values that no repository could use are refused by name", async () => {
  const open = (options: object): Promise<Repository> => openRepository(EMPTY, options);
  await expect(open({ fetch: 5 })).rejects.toThrow(new TypeError("fetch must be a function, got 5"));
  await expect(open({ cacheDir: 5 })).rejects.toThrow(new TypeError("cacheDir must be the path of a folder, got 5"));
  await expect(open({ cache_dir: ["a"] })).rejects.toThrow('cacheDir must be the path of a folder, got ["a"]');
  await expect(UNet2DConditionModel.fromPretrained(EMPTY, { subfolder: 5 as never })).rejects.toThrow(
    "repository path 5: it is a number",
  );
  await expect(deleteFrom(undefined, "org/tiny", hubOptions(null))).resolves.toBe(false);
});
