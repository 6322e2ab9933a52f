/** Files that are damaged, or made to do damage, and what the error must say. Payloads set `globalThis.canary`, if they run. */

/** What is put in a file's place: bytes, text, an object to merge into the file's own, or null for no file. */
export type Content = Uint8Array | string | Readonly<Record<string, unknown>> | null;

export interface MalformedCase {
  title: string;
  file: string;
  content: Content;
  /** Each must be in the message; the file (or class) is looked for as well. */
  says: string;
}

export const PAYLOAD = "data:text/javascript,globalThis.canary='ran'";
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const nested = (depth: number): string => `{"a": ${"[".repeat(depth)}${"]".repeat(depth)}}`;

/** What no JSON file may be, whatever it is for. */
const JSON_FAULTS: [title: string, content: Content, says: string][] = [
  ["is empty", bytes(), "the file is empty"],
  ["begins with a BOM", "\ufeff{}", "byte-order mark"],
  ["is cut", '{"a": [1, 2', "the text ends"],
  ["has a comma too many", '{"a": 1,}', "line 1"],
  ["is nested 1000 deep", nested(1000), "nesting deeper than 128"],
  ["is nested 100,000 deep", nested(100_000), "nesting deeper than 128"],
  ["is a list", "[]", "must hold a JSON object, got an array"],
  ["is null", "null", "must hold a JSON object, got null"],
  ["is not UTF-8", bytes(0x7b, 0xff, 0xfe, 0x7d), "is not UTF-8"],
  ["is UTF-16", bytes(0xff, 0xfe, 0x7b, 0, 0x7d, 0), "is not UTF-8"],
  ["is a page", "<!DOCTYPE html><p>Log in</p>", "is an HTML page"],
  ["is an LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"],
  ["is a pickle", bytes(0x80, 2, 0x7d, 0x71, 0), "Python pickle"],
  ["has a key twice", '{"a": 1, "a": 2}', 'the key "a" stands twice'],
  ["has the key __proto__", '{"__proto__": {"polluted": true}}', 'the key "__proto__" is refused'],
  ["has __proto__ further down", '{"a": [{"__proto__": {"polluted": true}}]}', 'the key "__proto__" is refused'],
  ["has a bare word", `{"a": globalThis.canary}`, "expected a value"],
  ["is missing", null, "no such file"],
];
const JSON_FILES = ["unet/config.json", "model_index.json", "vae/diffusion_pytorch_model.safetensors.index.json"];

export const STRUCTURE: MalformedCase[] = JSON_FILES.flatMap((file) =>
  JSON_FAULTS.filter(
    ([, content]) => content !== null || !file.includes("index.json") || file === "model_index.json",
  ).map(([title, content, says]) => ({ title: `${file} ${title}`, file, content, says })),
);

const inFile = (file: string, rows: [title: string, content: Content, says: string][]): MalformedCase[] =>
  rows.map(([title, content, says]) => ({ title: `${file}: ${title}`, file, content, says }));

/** unet of sd15: block_out_channels [16, 24, 24], norm_num_groups 8, attention_head_dim 4. */
const UNET = inFile("unet/config.json", [
  ["another class", { _class_name: "UNet3DConditionModel" }, '_class_name = "UNet3DConditionModel"'],
  ["a class from a list", { _class_name: ["my_unet", PAYLOAD] }, "that of another class"],
  ["constructor as class", { _class_name: "constructor" }, '_class_name = "constructor"'],
  ["__proto__ as class", { _class_name: "__proto__" }, '_class_name = "__proto__"'],
  ["an address as class", { _class_name: PAYLOAD }, "that of another class"],
  ["a class of 200 kB", { _class_name: "A".repeat(200_000) }, `"${"A".repeat(99)}…`],
  ["negative channels", { block_out_channels: [-16, 24, 24] }, "block_out_channels = [-16, 24, 24]"],
  ["a billion channels", { block_out_channels: [1e9, 24, 24] }, "block_out_channels = [1000000000, 24, 24]"],
  ["a million channels", { block_out_channels: [1 << 20, 24, 24] }, "weights, more than"],
  ["channels as text", { block_out_channels: "16" }, 'block_out_channels = "16"'],
  ["channels as lists", { block_out_channels: [[16], 24, 24] }, "block_out_channels = [[16], 24, 24]"],
  ["no channels", { block_out_channels: [] }, "block_out_channels = []"],
  ["a hundred levels", { block_out_channels: Array(100).fill(16) }, "block_out_channels = [16, 16"],
  ["a billion layers", { layers_per_block: 1e9 }, "layers_per_block = 1000000000"],
  ["a million layers", { layers_per_block: 1e6 }, "layers and "],
  ["a million layers in a block", { transformer_layers_per_block: [1e6, 1, 1] }, "layers and "],
  ["NaN layers", '{"layers_per_block": NaN}', "layers_per_block = "],
  ["infinitely many layers", '{"layers_per_block": Infinity}', "layers_per_block = "],
  ["half a layer", { layers_per_block: 1.5 }, "layers_per_block = 1.5"],
  ["no layers", { layers_per_block: 0 }, "layers_per_block = 0"],
  ["layers as an object", { layers_per_block: { valueOf: PAYLOAD } }, "layers_per_block = {"],
  ["an unknown block", { down_block_types: ["DownBlock2D", "DownBlock2D", PAYLOAD] }, "down_block_types = "],
  ["blocks as text", { up_block_types: "UpBlock2D" }, 'up_block_types = "UpBlock2D"'],
  ["a block too few", { down_block_types: ["DownBlock2D", "DownBlock2D"] }, "needs 3 entries"],
  ["no heads", { attention_head_dim: 0 }, "attention_head_dim = 0"],
  ["more heads than channels", { attention_head_dim: 25 }, "25 heads"],
  ["groups that do not divide", { norm_num_groups: 7 }, "7 groups"],
  ["NaN as eps", '{"norm_eps": NaN}', "norm_eps = "],
  ["eps as text", { norm_eps: "1e-5" }, 'norm_eps = "1e-5"'],
  ["no context", { cross_attention_dim: null }, "cross_attention_dim = null"],
  ["another activation", { act_fn: PAYLOAD }, "act_fn = "],
  ["what no code computes", { attention_type: "gated" }, 'attention_type = "gated"'],
  ["a number as boolean", { flip_sin_to_cos: 2 }, "flip_sin_to_cos = 2"], // 0 and 1 are taken, as Python takes them
  ["a text as size", { sample_size: "64" }, 'sample_size = "64"'],
  ["channels of another model", { block_out_channels: [32, 24, 24] }, "do not fit the config"],
]);

const VAE = inFile("vae/config.json", [
  ["negative latents", { latent_channels: -4 }, "latent_channels = -4"],
  ["10^9-byte buffers", { block_out_channels: [8, 8, 16, 16384] }, "do not fit the config"],
  ["a billion channels", { block_out_channels: [8, 8, 16, 1e9] }, "block_out_channels = "],
  ["a billion layers", { layers_per_block: 1e9 }, "layers_per_block = 1000000000"],
  ["NaN as scale", '{"scaling_factor": NaN}', "scaling_factor = "],
  ["a block too few", { down_block_types: ["DownEncoderBlock2D"] }, "down_block_types needs 4 entries"],
  ["the UNet's class", { _class_name: "UNet2DConditionModel" }, "AutoencoderKL: the config is that of another class"],
]);

const TEXT = inFile("text_encoder/config.json", [
  ["a billion tokens", { vocab_size: 1e9 }, "vocab_size = 1000000000"],
  ["a million wide", { hidden_size: 1 << 20 }, "weights, more than"],
  ["a million layers", { num_hidden_layers: 1e6 }, "layers and "],
  ["code as activation", { hidden_act: PAYLOAD }, "hidden_act = "],
  ["heads that do not divide", { num_attention_heads: 3 }, "num_attention_heads = 3"],
  ["an end token as text", { eos_token_id: "2" }, 'eos_token_id = "2"'],
]);

const SCHEDULER = inFile("scheduler/scheduler_config.json", [
  ["a billion steps", { num_train_timesteps: 1e9 }, "num_train_timesteps"],
  ["negative steps", { num_train_timesteps: -1 }, "num_train_timesteps"],
  ["steps as text", { num_train_timesteps: "1000" }, "num_train_timesteps must be a number"],
  ["NaN steps", '{"num_train_timesteps": NaN}', "num_train_timesteps"],
  ["an unknown schedule", { beta_schedule: PAYLOAD }, "beta_schedule must be one of"],
  ["betas as text", { trained_betas: "0.1" }, "trained_betas"],
  ["texts as betas", { trained_betas: ["a", "b"] }, "trained_betas"],
  ["a number as class", { _class_name: 5 }, "_class_name must be a string"],
  ["a list as start", { beta_start: [0.1] }, "beta_start must be a number"],
]);

const INDEX = inFile("model_index.json", [
  ["an unknown class", { _class_name: "FluxPipeline" }, '_class_name is "FluxPipeline"'],
  ["no class", '{"unet": ["diffusers", "UNet2DConditionModel"]}', "_class_name is undefined"],
  ["a class from a list", { _class_name: ["my_pipeline", PAYLOAD] }, "_class_name is ["],
  ["an address as class", { _class_name: PAYLOAD }, "_class_name is"],
  ["a module as class", { _class_name: "node:fs" }, '_class_name is "node:fs"'],
  ["constructor as class", { _class_name: "constructor" }, '_class_name is "constructor"'],
  ["toString as class", { _class_name: "toString" }, '_class_name is "toString"'],
  ["the base class", { _class_name: "DiffusionPipeline" }, '_class_name is "DiffusionPipeline"'],
  ["a path as class", { _class_name: "../x" }, '_class_name is "../x"'],
  ["a class of 200 kB", { _class_name: "A".repeat(200_000) }, "_class_name is"],
  ["a foreign library", { unet: ["os", "system"] }, "unet is a os.system"],
  ["a library outside", { unet: ["../x", "UNet2DConditionModel"] }, "unet is a ../x.UNet2DConditionModel"],
  ["an address as library", { unet: [PAYLOAD, "default"] }, "unet is a data:"],
  ["constructor as component's class", { unet: ["diffusers", "constructor"] }, "unet is a diffusers.constructor"],
  ["an unknown scheduler", { scheduler: ["diffusers", "EvilScheduler"] }, "scheduler is a diffusers.EvilScheduler"],
  ["three parts", { unet: ["diffusers", "UNet2DConditionModel", PAYLOAD] }, "unet must be [library, class]"],
  ["an object", { unet: { library: "diffusers" } }, "unet must be [library, class]"],
  ["a list in a list", { unet: [["diffusers"], "UNet2DConditionModel"] }, "unet must be two strings"],
  ["half a pair", { unet: ["diffusers", null] }, "unet must be two strings"],
  ["a class of 200 kB in a component", { unet: ["diffusers", "A".repeat(200_000)] }, "unet must be two strings"],
]);

const TOKENIZER = [
  ...inFile("tokenizer/vocab.json", [
    ["negative ids", '{"a": -1}', 'token "a": the id must be a whole number'],
    ["a billion", '{"a": 1000000000}', 'token "a": the id must be a whole number'],
    ["lists as ids", '{"a": [1]}', 'token "a": the id must be a whole number'],
    ["the key __proto__", '{"__proto__": 1}', 'the key "__proto__" is refused'],
  ]),
  ...inFile("tokenizer/merges.txt", [
    ["three parts in a line", "#version: 0.2\na b c\n", "line 2"],
    ["not text", bytes(0xff, 0xfe, 0), "is not UTF-8"],
  ]),
  ...inFile("tokenizer/tokenizer_config.json", [
    ["a number as token", { added_tokens_decoder: {}, bos_token: 7 }, "got 7"],
    ["a token without an id", { added_tokens_decoder: { x: { content: "<new>" } } }, "id"],
    ["a token with a huge id", { added_tokens_decoder: { "1e300": { content: "<new>" } } }, "id"],
    ["a token that nothing knows", { added_tokens_decoder: {}, pad_token: PAYLOAD }, "is not in the vocabulary"],
  ]),
];

export const VALUES: MalformedCase[] = [...UNET, ...VAE, ...TEXT, ...SCHEDULER, ...INDEX, ...TOKENIZER];

/** Paths that would leave the folder, or are none: as names of shards, and as subfolders. */
export const ESCAPES: readonly string[] = [
  "../x",
  "/etc/x",
  "C:x",
  "C:\\x",
  "\\\\host\\x",
  "a\\b",
  "%2e%2e/x",
  "%2E%2E%2Fx",
  "x\0y",
  "a/../../x",
  "./x",
  "http://host/x",
  "file:///x",
  "",
  "x/",
  "a//b",
  "x\ny",
  "~/x/",
  "con",
  `${"a".repeat(2000)}`,
];

/** weight_map of a model of two shards, a.safetensors and b.safetensors. */
export const WEIGHT_MAPS: [title: string, index: unknown, says: string][] = [
  ["no weight_map", { metadata: {} }, "weight_map must be an object"],
  ["a list", { weight_map: [] }, "weight_map must be an object"],
  ["null", { weight_map: null }, "weight_map must be an object"],
  ["nothing in it", { weight_map: {} }, "lists 0 shards"],
  [
    "10,001 shards",
    { weight_map: Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, `s${i}.safetensors`])) },
    "lists 10001 shards",
  ],
  ["a number as shard", { weight_map: { a: 1 } }, "got 1"],
  ["a list as shard", { weight_map: { a: ["a.safetensors"] } }, 'got ["a.safetensors"]'],
  ["a pickle", { weight_map: { a: "a.bin" } }, 'got "a.bin"'],
  ["a pickle behind a name", { weight_map: { a: "a.safetensors.bin" } }, 'got "a.safetensors.bin"'],
  ["a folder", { weight_map: { a: "sub/a.safetensors" } }, 'got "sub/a.safetensors"'],
  ["a missing shard", { weight_map: { a: "a.safetensors", c: "c.safetensors" } }, "vae/c.safetensors: no such file"],
  ["one shard of two", { weight_map: { a: "a.safetensors" } }, "missing "],
  ["a device of Windows", { weight_map: { a: "con.safetensors" } }, "device on Windows"],
];
