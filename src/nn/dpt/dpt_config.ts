/** The config of a depth estimator, transformers' configuration_dpt.py, with that of its backbone inside. */
import { checkConfigObject } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";
import { keepNumberTypes } from "../../loader/number_types.js";
import { anything, isBoolean, isCount, isNumber, listOf, nullOr, oneOf, type ConfigSchema } from "../config.js";
import { bitConfig, HYBRID_BACKBONE, type BitConfig } from "./bit_config.js";

/** The keys of the config that are read. */
export interface DPTConfig {
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  intermediate_size: number;
  hidden_act: "gelu" | "relu" | "silu" | "quick_gelu";
  layer_norm_eps: number;
  /** Pixels along each side of the pictures that it was trained with, and of the squares that they are cut into. */
  image_size: number;
  patch_size: number;
  num_channels: number;
  /** Whether BiT sees the picture before the transformer does. */
  is_hybrid: boolean;
  qkv_bias: boolean;
  /** Layers whose results are looked at; of a hybrid the third and fourth. */
  backbone_out_indices: readonly number[];
  readout_type: "ignore" | "add" | "project";
  reassemble_factors: readonly number[];
  neck_hidden_sizes: readonly number[];
  fusion_hidden_size: number;
  head_in_index: number;
  use_bias_in_fusion_residual: boolean | null;
  add_projection: boolean;
  backbone_featmap_shape: readonly number[] | null;
  backbone_config: BitConfig | null;
}

export const DPT_SCHEMA: Omit<ConfigSchema, "name"> = {
  defaults: {
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: "gelu",
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    initializer_range: 0.02,
    layer_norm_eps: 1e-12,
    image_size: 384,
    patch_size: 16,
    num_channels: 3,
    is_hybrid: false,
    qkv_bias: true,
    backbone_out_indices: [2, 5, 8, 11],
    readout_type: "project",
    reassemble_factors: [4, 2, 1, 0.5],
    neck_hidden_sizes: [96, 192, 384, 768],
    fusion_hidden_size: 256,
    head_in_index: -1,
    use_batch_norm_in_fusion_residual: false,
    use_bias_in_fusion_residual: null,
    add_projection: false,
    use_auxiliary_head: true,
    auxiliary_loss_weight: 0.4,
    semantic_loss_ignore_index: 255,
    semantic_classifier_dropout: 0.1,
    backbone_featmap_shape: [1, 1024, 24, 24],
    neck_ignore_stages: [0, 1],
    backbone_config: null,
    pooler_output_size: null,
    pooler_act: "tanh",
  },
  rules: {
    hidden_size: isCount,
    num_hidden_layers: isCount,
    num_attention_heads: isCount,
    intermediate_size: isCount,
    hidden_act: oneOf("gelu", "relu", "silu", "quick_gelu"),
    layer_norm_eps: isNumber,
    image_size: isCount,
    patch_size: isCount,
    num_channels: isCount,
    is_hybrid: isBoolean,
    qkv_bias: isBoolean,
    backbone_out_indices: listOf((n) => Number.isSafeInteger(n) && (n as number) >= 0),
    readout_type: oneOf("ignore", "add", "project"),
    reassemble_factors: listOf((n) => isNumber(n) && (n as number) > 0 && ((n as number) < 1 || Number.isInteger(n))),
    neck_hidden_sizes: listOf(isCount),
    fusion_hidden_size: isCount,
    head_in_index: (n) => Number.isSafeInteger(n),
    use_batch_norm_in_fusion_residual: oneOf(false),
    use_bias_in_fusion_residual: nullOr(isBoolean),
    add_projection: isBoolean,
    backbone_featmap_shape: nullOr(listOf(isCount)),
    backbone_config: anything, // checked by itself
    neck_ignore_stages: anything, // below, of hybrids; others have none
    // Of training, of segmentation, and of a pooler that depth goes without.
    hidden_dropout_prob: anything,
    attention_probs_dropout_prob: anything,
    initializer_range: anything,
    use_auxiliary_head: anything,
    auxiliary_loss_weight: anything,
    semantic_loss_ignore_index: anything,
    semantic_classifier_dropout: anything,
    pooler_output_size: anything,
    pooler_act: anything,
  },
};

type Values = Readonly<Record<string, unknown>>;

/**
 * A config with that of a hybrid's backbone in full.
 * @throws TypeError naming the key whose value nothing here computes
 */
export function dptConfig(name: string, given: Values): Values {
  checkConfigObject(name, given);
  const { backbone_config: backbone = null, is_hybrid: isHybrid = false } = given;
  if (backbone !== null && (typeof backbone !== "object" || Array.isArray(backbone)))
    throw new TypeError(`${name}: config backbone_config must be an object, got ${shown(backbone)}`);
  for (const [key, value] of Object.entries({ backbone: given.backbone, backbone_config: isHybrid ? null : backbone }))
    if (value !== null && value !== undefined)
      throw new TypeError(
        `${name}: config ${key} = ${shown(value)} is not supported: only hybrids (is_hybrid) have a backbone`,
      );
  if (!isHybrid) return given;
  const { readout_type: readout = "project", neck_ignore_stages: ignored = [0, 1] } = given;
  if (readout !== "project")
    throw new TypeError(`${name}: config readout_type must be "project" of a hybrid, got ${shown(readout)}`);
  if (shown(ignored) !== "[0, 1]")
    throw new TypeError(`${name}: config neck_ignore_stages = ${shown(ignored)} is not supported: [0, 1] is`);
  const own = bitConfig(`${name}, backbone_config`, (backbone ?? HYBRID_BACKBONE) as Values);
  return keepNumberTypes({ ...given, backbone_config: own }, given);
}

/** @throws TypeError where the numbers of features do not agree */
export function checkFeatures(name: string, config: DPTConfig): void {
  const { neck_hidden_sizes: widths, reassemble_factors: factors, backbone_out_indices: indices, is_hybrid } = config;
  if (factors.length < widths.length)
    throw new TypeError(`${name}: config reassemble_factors needs ${widths.length} entries, one per neck_hidden_sizes`);
  const layers = new Set((is_hybrid ? indices.slice(2) : indices).filter((i) => i < config.num_hidden_layers));
  const features = layers.size + (is_hybrid ? 2 : 0);
  if (features !== widths.length)
    throw new TypeError(
      `${name}: config neck_hidden_sizes has ${widths.length} entries, but backbone_out_indices makes ${features} features`,
    );
  if (config.head_in_index >= features || config.head_in_index < -features)
    throw new TypeError(`${name}: config head_in_index = ${config.head_in_index} is none of ${features} features`);
  if (config.hidden_size % config.num_attention_heads !== 0)
    throw new TypeError(
      `${name}: config num_attention_heads = ${config.num_attention_heads} does not divide hidden_size = ${config.hidden_size}`,
    );
}
