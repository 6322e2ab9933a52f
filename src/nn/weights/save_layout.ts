/** The bytes around saved weights: safetensors headers, the order of tensors, shards and their index. No GPU here. */
import { shown } from "../../arguments/shown.js";
import { toJSONString } from "../../loader/config_json.js";
import { headerBytes } from "../../loader/safetensors_header.js";
import { product } from "../../tensor/dtype.js";

export type SaveDType = "float32" | "float16";

/** A tensor as the file is to hold it. */
export interface SavedTensor {
  readonly key: string;
  readonly shape: readonly number[];
}

/** One safetensors file: its header (with the length before it) and the keys whose bytes follow, in order. */
export interface WeightFile {
  readonly name: string;
  readonly header: Uint8Array;
  readonly keys: readonly string[];
}

export interface WeightLayout {
  readonly files: readonly WeightFile[];
  /** Of a checkpoint in shards: which file holds which key. */
  readonly index: { readonly name: string; readonly text: string } | null;
}

export interface LayoutOptions {
  stem: string;
  variant?: string;
  dtype: SaveDType;
  /** Bytes, or a text such as "10GB" (10^9 bytes each), "200KB". */
  maxShardSize: number | string;
}

/** The loader reads no more. */
const MAX_SHARDS = 1000;
const UNITS: Record<string, number> = { TB: 1e12, GB: 1e9, MB: 1e6, KB: 1e3 };
const ITEM: Record<SaveDType, { name: string; bytes: number }> = {
  float32: { name: "F32", bytes: 4 },
  float16: { name: "F16", bytes: 2 },
};

/** Bytes of "10GB". @throws RangeError for another unit, or a size that is not positive */
export function parseShardSize(size: number | string): number {
  const [, digits, unit] = (typeof size === "string" && /^\s*([\d.]+)\s*([a-z]{2})\s*$/i.exec(size)) || [];
  const bytes = typeof size === "number" ? size : Math.trunc(Number(digits) * (UNITS[unit?.toUpperCase()] ?? NaN));
  if (Number.isFinite(bytes) && bytes > 0) return bytes;
  throw new RangeError(
    `savePretrained: maxShardSize must be a number of bytes, or digits and KB, MB, GB or TB, got ${shown(size)}`,
  );
}

/** @throws TypeError unless the variant can stand in a file's name */
function checkVariant(variant: string | undefined): string {
  if (variant === undefined) return "";
  if (typeof variant === "string" && /^[\w-]+$/.test(variant)) return `.${variant}`;
  throw new TypeError(`savePretrained: variant must be a word such as "fp16", got ${shown(variant)}`);
}

/**
 * Which file holds which tensor, as diffusers' save_pretrained and huggingface_hub's split_torch_state_dict_into_shards.
 * @param tensors in torch's order (that of the modules' registration), which decides the shards
 */
export function layoutWeights(tensors: readonly SavedTensor[], options: LayoutOptions): WeightLayout {
  const { stem, dtype } = options;
  const infix = checkVariant(options.variant);
  const { shards, total } = split(tensors, dtype, parseShardSize(options.maxShardSize));
  if (shards.length > MAX_SHARDS)
    throw new RangeError(
      `savePretrained: maxShardSize ${options.maxShardSize} makes ${shards.length} files, more than ${MAX_SHARDS}; give a larger one`,
    );
  const number = (i: number): string => String(i).padStart(5, "0");
  const suffix = (i: number): string => (shards.length > 1 ? `-${number(i + 1)}-of-${number(shards.length)}` : "");
  const files = shards.map((shard, i) => weightFile(`${stem}${infix}${suffix(i)}.safetensors`, shard, dtype));
  if (files.length === 1) return { files, index: null };
  const weight_map = Object.fromEntries(files.flatMap(({ name, keys }) => keys.map((key) => [key, name])));
  const text = `${toJSONString({ metadata: { ...counted(tensors, options), total_size: total }, weight_map })}\n`;
  return { files, index: { name: `${stem}.safetensors.index${infix}.json`, text } };
}

/** What transformers' index says beside the size. */
const counted = (tensors: readonly SavedTensor[], { stem }: LayoutOptions): object =>
  stem === "model" ? { total_parameters: tensors.reduce((sum, { shape }) => sum + product(shape), 0) } : {};

/** Whether a file holds weights (or their index) of this stem and variant, in today's or in older names of shards. */
export function isWeightFile(name: string, stem: string, variant: string | undefined): boolean {
  const infix = checkVariant(variant);
  const shard = /-\d{5,}-of-\d{5,}/.exec(name)?.[0] ?? "";
  return [
    `${stem}${infix}${shard}.safetensors`,
    `${stem}${shard}${infix}.safetensors`,
    `${stem}.safetensors.index${infix}.json`,
    `${stem}.safetensors${infix}.index.json`,
  ].includes(name);
}

/**
 * Modules that torch's classes register before a sibling that stands before them here: those of empty lists filled later, and those
 * that a UNet with prompts has beside its trunk.
 */
const REGISTERED_BEFORE: readonly (readonly [name: string, later: string])[] = [
  ["attentions", "resnets"],
  ["up_blocks", "mid_block"],
  ["add_embedding", "down_blocks"],
  ["encoder_hid_proj", "down_blocks"],
  ["encoder_hid_proj", "add_embedding"],
  ["encoder_hid_proj", "class_embedding"],
];

/** Attention blocks of the K kind, `attentions.0.attn2`: their classes register them after the resnets, as the fields do here. */
const isK = (attentions: readonly string[][], depth: number): boolean =>
  attentions.some((path) => path[depth] === "attentions" && path[depth + 2] === "attn2");

/** Keys in the order in which the writers of Python fill their shards. @param keys in the order of the fields */
export function shardOrder(keys: readonly string[], stem: string): string[] {
  const paths = keys.map((key) => key.split("."));
  return (stem === "model" ? paths.sort(byName) : ordered(paths)).map((path) => path.join("."));
}

/** transformers' dot_natural_key (core_model_loading.py): layer 2 before layer 10. */
function byName(a: readonly string[], b: readonly string[]): number {
  const i = a.findIndex((part, depth) => part !== b[depth]);
  const [x, y] = [a[i], b[i]];
  if (/^\d+$/.test(x) && /^\d+$/.test(y)) return Number(x) - Number(y);
  return x < y ? -1 : 1;
}

function ordered(paths: readonly string[][], depth = 0): string[][] {
  if (paths.length < 2) return [...paths];
  const groups = new Map<string, string[][]>();
  for (const path of paths) {
    const group = groups.get(path[depth]);
    if (group) group.push(path);
    else groups.set(path[depth], [path]);
  }
  const names = [...groups.keys()];
  for (const [name, later] of REGISTERED_BEFORE) {
    const [from, to] = [names.indexOf(name), names.indexOf(later)];
    if (name === "attentions" && isK(groups.get(name) ?? [], depth)) continue;
    if (to >= 0 && from > to) names.splice(to, 0, ...names.splice(from, 1));
  }
  return names.flatMap((name) => ordered(groups.get(name) ?? [], depth + 1));
}

const bytesOf = (shape: readonly number[], dtype: SaveDType): number => product(shape) * ITEM[dtype].bytes;

/** In order, a new shard where the next tensor does not fit; a tensor above the limit gets one of its own. */
function split(tensors: readonly SavedTensor[], dtype: SaveDType, limit: number) {
  const shards: SavedTensor[][] = [];
  let current: SavedTensor[] = [];
  let size = 0;
  let total = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor.shape, dtype);
    total += bytes;
    if (bytes > limit) {
      shards.push([tensor]);
      continue;
    }
    if (size + bytes > limit) {
      shards.push(current);
      current = [];
      size = 0;
    }
    current.push(tensor);
    size += bytes;
  }
  if (current.length > 0) shards.push(current);
  return { shards, total };
}

/** A file as safetensors' writer makes it: tensors by name (all have one dtype). */
function weightFile(name: string, shard: readonly SavedTensor[], dtype: SaveDType): WeightFile {
  const sorted = [...shard].sort((a, b) => (a.key < b.key ? -1 : 1));
  let offset = 0;
  const entries = sorted.map(({ key, shape }) => {
    const data_offsets = [offset, (offset += bytesOf(shape, dtype))];
    return `${JSON.stringify(key)}:${JSON.stringify({ dtype: ITEM[dtype].name, shape, data_offsets })}`;
  });
  const header = headerBytes(`{${['"__metadata__":{"format":"pt"}', ...entries].join(",")}}`);
  return { name, header, keys: sorted.map(({ key }) => key) };
}
