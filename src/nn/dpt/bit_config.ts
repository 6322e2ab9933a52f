/** The config of a BiT backbone, transformers' configuration_bit.py. */
import { shown } from "../../arguments/shown.js";
import { anything, checkConfig, isBoolean, isCount, listOf, oneOf, type ConfigSchema } from "../config.js";

/** The keys of the config that are read. */
export interface BitConfig {
  num_channels: number;
  embedding_size: number;
  /** Widths of the stages; more than there are stages are not looked at. */
  hidden_sizes: readonly number[];
  depths: readonly number[];
  layer_type: "preactivation" | "bottleneck";
  hidden_act: "relu" | "silu" | "gelu";
  /** null: as much on all sides, whatever the size. */
  global_padding: "SAME" | null;
  num_groups: number;
  embedding_dynamic_padding: boolean;
  output_stride: number;
  width_factor: number;
  /** Of "stem", "stage1", …; one of both says what is handed on. */
  out_features: readonly string[] | null;
  out_indices: readonly number[] | null;
}

const SCHEMA: Omit<ConfigSchema, "name"> = {
  defaults: {
    num_channels: 3,
    embedding_size: 64,
    hidden_sizes: [256, 512, 1024, 2048],
    depths: [3, 4, 6, 3],
    layer_type: "preactivation",
    hidden_act: "relu",
    global_padding: null,
    num_groups: 32,
    drop_path_rate: 0,
    embedding_dynamic_padding: false,
    output_stride: 32,
    width_factor: 1,
    out_features: null,
    out_indices: null,
  },
  rules: {
    num_channels: isCount,
    embedding_size: isCount,
    hidden_sizes: listOf(isCount),
    depths: listOf(isCount),
    layer_type: oneOf("preactivation", "bottleneck"),
    hidden_act: oneOf("relu", "silu", "gelu"),
    // Without any ("VALID") residuals do not have the size of what they are added to.
    global_padding: oneOf("SAME", null),
    num_groups: isCount,
    drop_path_rate: anything, // of training
    embedding_dynamic_padding: isBoolean,
    output_stride: isCount,
    width_factor: isCount,
    out_features: anything, // both checked below
    out_indices: anything,
  },
};

/** What DPTConfig takes for a backbone where it says nothing of it. */
export const HYBRID_BACKBONE = {
  model_type: "bit",
  global_padding: "same",
  layer_type: "bottleneck",
  depths: [3, 4, 9],
  out_features: ["stage1", "stage2", "stage3"],
  embedding_dynamic_padding: true,
};

/** @throws TypeError naming the key whose value nothing here computes */
export function bitConfig(name: string, given: Readonly<Record<string, unknown>>): BitConfig {
  const { global_padding: padding = null, model_type: type = "bit" } = given;
  if (type !== "bit") throw new TypeError(`${name}: config model_type = ${shown(type)} is not supported: "bit" is`);
  const full = { ...given, global_padding: typeof padding === "string" ? padding.toUpperCase() : padding };
  const config = checkConfig({ ...SCHEMA, name }, full) as unknown as BitConfig;
  if (config.hidden_sizes.length < config.depths.length)
    throw new TypeError(`${name}: config hidden_sizes needs ${config.depths.length} entries, one for each of depths`);
  if (config.layer_type === "bottleneck" && 4 * 2 ** (config.depths.length - 1) > config.output_stride)
    throw new TypeError(
      `${name}: config output_stride = ${config.output_stride} is not supported with so many depths: convolutions would be dilated`,
    );
  return config;
}

/**
 * Which feature maps are handed on, by their numbers: 0 is the stem's.
 * @throws TypeError naming the key that asks for another one
 */
export function outIndices(name: string, { depths, out_features, out_indices }: BitConfig): number[] {
  const stages = ["stem", ...depths.map((_, i) => `stage${i + 1}`)];
  const indices = out_features
    ? out_features.map((feature) => stages.indexOf(feature))
    : (out_indices ?? [depths.length]).map((i) => (i < 0 ? i + stages.length : i));
  if (indices.some((i) => !(i in stages)))
    throw new TypeError(
      `${name}: config ${out_features ? "out_features" : "out_indices"} = ${shown(out_features ?? out_indices)} must be of ${stages.join(", ")}`,
    );
  return [...indices].sort((a, b) => a - b);
}
