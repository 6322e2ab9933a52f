/** Model configs: diffusers' constructor defaults, and a named error for every value that no code here computes. */

import { checkConfigObject } from "../arguments/config_object.js";
import { shown } from "../arguments/shown.js";
import { pythonRepr } from "../loader/config_json.js";
import { floatsOfFile, keepNumberTypes } from "../loader/number_types.js";

export type ModelConfig = Readonly<Record<string, unknown>>;

/** What a key must be; anything else is refused by name. */
export type Rule = (value: unknown) => boolean;

export interface ConfigSchema {
  /** Class name for errors and for `_class_name`. */
  readonly name: string;
  /** What files say besides that are older than the class. */
  readonly olderNames?: readonly string[];
  /** Constructor arguments with their defaults. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Rules by key. A key of `defaults` without a rule must equal its default: no flag without a checkpoint that uses it. */
  readonly rules: Readonly<Record<string, Rule>>;
  /** Keys that Python's constructor adds to what it was given: a file has them, and they say nothing new. */
  readonly added?: readonly string[];
}

export const isCount: Rule = (value) =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 1 << 20;
export const isNumber: Rule = (value) => typeof value === "number" && Number.isFinite(value);
export const isBoolean: Rule = (value) => typeof value === "boolean";
export const anything: Rule = () => true;
export const oneOf =
  (...values: unknown[]): Rule =>
  (value) =>
    values.includes(value);
export const nullOr =
  (rule: Rule): Rule =>
  (value) =>
    value === null || rule(value);
export const listOf =
  (rule: Rule): Rule =>
  (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= 64 && value.every(rule);
export const either =
  (...rules: Rule[]): Rule =>
  (value) =>
    rules.some((rule) => rule(value));

/** Bounds for configs that are damaged or made to do damage; the largest models that exist stay a hundred times below. */
const MAX_LAYERS = 4096;
const MAX_WEIGHTS = 2 ** 38;

/**
 * Fills defaults and checks every known key. Unknown keys are kept, as diffusers keeps them.
 * @throws TypeError naming class, key and value
 */
export function checkConfig(schema: ConfigSchema, given: Readonly<Record<string, unknown>>): ModelConfig {
  checkConfigObject(schema.name, given);
  const { _class_name: className = schema.name } = given;
  if (className !== schema.name && !schema.olderNames?.includes(className as string))
    throw new TypeError(`${schema.name}: the config is that of another class, _class_name = ${shown(className)}`);
  const config: Record<string, unknown> = { ...schema.defaults };
  for (const [key, value] of Object.entries(given)) config[key] = value;
  for (const [key, fallback] of Object.entries(schema.defaults)) {
    const value = truth(config[key], fallback);
    const rule = schema.rules[key];
    if (key in schema.rules ? rule(value) : JSON.stringify(value) === JSON.stringify(fallback)) continue;
    const cure = key in schema.rules ? "" : ` (supported: ${shown(fallback)})`;
    throw new TypeError(`${schema.name}: config ${key} = ${shown(config[key])} is not supported${cure}`);
  }
  checkLevels(schema.name, config);
  checkSize(schema.name, config);
  checked.add(config);
  return Object.freeze(keepNumberTypes(config, given));
}

/** Of a flag, what Python makes of null, 0 and 1, where it asks no more than whether: files have them. They are kept as they are. */
const truth = (value: unknown, fallback: unknown): unknown =>
  typeof fallback === "boolean" && (value === null || value === 0 || value === 1) ? Boolean(value) : value;

/** Configs of models that stand: what they are made of again, for another device, was told of. */
const checked = new WeakSet<object>();

/** Warns of keys that the class does not have, as diffusers does; what begins with "_" is a note. */
export function warnOfUnexpected(schema: ConfigSchema, given: Readonly<Record<string, unknown>>): void {
  const { name, defaults, added = [] } = schema;
  const known = new Set([...Object.keys(defaults), ...added, "quantization_config"]);
  const unexpected = Object.entries(given).filter(([key]) => !known.has(key) && !key.startsWith("_"));
  if (checked.has(given) || unexpected.length === 0) return;
  console.warn(
    `The config attributes ${pythonRepr(Object.fromEntries(unexpected), floatsOfFile(given))} were passed to ${name}, but are ` +
      "not expected and will be ignored. Please verify your config.json configuration file.",
  );
}

/**
 * A value for each level: a list as it is, anything else for all.
 * @throws TypeError naming the key unless a list has as many entries as there are levels
 */
export function perLevel<T>(model: string, key: string, value: T | readonly T[], levels: number): readonly T[] {
  if (!Array.isArray(value)) return new Array<T>(levels).fill(value as T);
  if (value.length === levels) return value as readonly T[];
  throw new TypeError(
    `${model}: config ${key} needs ${levels} entries, one per block_out_channels, got ${value.length}`,
  );
}

/** Every list of block types has one entry per width. */
function checkLevels(name: string, config: ModelConfig): void {
  const widths = config.block_out_channels;
  if (!Array.isArray(widths)) return;
  for (const [key, types] of Object.entries(config))
    if (/^(down|up)_block_types$/.test(key) && (types as unknown[]).length !== widths.length)
      throw new TypeError(
        `${name}: config ${key} needs ${widths.length} entries, one per block_out_channels, got ${(types as unknown[]).length}`,
      );
}

/** Refuses a model of absurd size before its modules are built, by a rough count of layers and weights. */
function checkSize(name: string, config: ModelConfig): void {
  const most = (key: string): number => Math.max(1, ...[config[key]].flat(2).filter((n) => typeof n === "number"));
  const perLevel = [config.block_out_channels, config.channels].find(Array.isArray);
  const levels = perLevel?.length ?? 1;
  const depths = [
    "layers_per_block",
    "num_res_blocks",
    "transformer_layers_per_block",
    "num_hidden_layers",
    "num_layers",
    "num_encoder_blocks",
    "num_decoder_blocks",
  ];
  const widths = [
    "block_out_channels",
    "channels",
    "encoder_block_out_channels",
    "decoder_block_out_channels",
    "latent_channels",
    "hidden_size",
    "embedding_dim",
    "cross_attention_dim",
    "conditioning_embedding_out_channels",
  ];
  const layers = depths.reduce((product, key) => product * most(key), levels);
  const width = Math.max(...widths.map(most));
  const weights = width * (layers * width + most("vocab_size") + most("intermediate_size"));
  if (layers <= MAX_LAYERS && weights <= MAX_WEIGHTS) return;
  const keys = [...depths, ...widths, "vocab_size", "intermediate_size"].filter((key) => key in config);
  const given = keys.map((key) => `${key} = ${shown(config[key])}`).join(", ");
  throw new TypeError(
    `${name}: the config makes about ${layers} layers and ${weights.toPrecision(2)} weights, more than ${MAX_LAYERS} and ` +
      `${MAX_WEIGHTS.toPrecision(2)}: ${given}`,
  );
}
