/** The config of PriorTransformer, diffusers/models/transformers/prior_transformer.py. */
import { isActivation } from "../activations.js";
import { anything, isCount, nullOr, oneOf, type ConfigSchema } from "../config.js";

/** Keys of a PriorTransformer's config, with diffusers' meaning and defaults. */
export interface PriorTransformerConfig {
  num_attention_heads: number;
  attention_head_dim: number;
  num_layers: number;
  embedding_dim: number;
  /** Tokens of a text, and of what is put behind them. */
  num_embeddings: number;
  additional_embeddings: number;
  time_embed_act_fn: string;
  norm_in_type: "layer" | null;
  embedding_proj_norm_type: "layer" | null;
  /** null: it reads no texts. */
  encoder_hid_proj_type: "linear" | null;
  /** "prd": what it predicts is a token of its own behind all others. */
  added_emb_type: "prd" | null;
  time_embed_dim: number | null;
  embedding_proj_dim: number | null;
  clip_embed_dim: number | null;
}

const isNorm = nullOr(oneOf("layer"));

export const PRIOR_TRANSFORMER_SCHEMA: ConfigSchema = {
  name: "PriorTransformer",
  defaults: {
    num_attention_heads: 32,
    attention_head_dim: 64,
    num_layers: 20,
    embedding_dim: 768,
    num_embeddings: 77,
    additional_embeddings: 4,
    dropout: 0,
    time_embed_act_fn: "silu",
    norm_in_type: null,
    embedding_proj_norm_type: null,
    encoder_hid_proj_type: "linear",
    added_emb_type: "prd",
    time_embed_dim: null,
    embedding_proj_dim: null,
    clip_embed_dim: null,
  },
  rules: {
    num_attention_heads: isCount,
    attention_head_dim: isCount,
    num_layers: isCount,
    embedding_dim: isCount,
    num_embeddings: isCount,
    additional_embeddings: isCount,
    dropout: anything, // of training
    time_embed_act_fn: isActivation,
    norm_in_type: isNorm,
    embedding_proj_norm_type: isNorm,
    encoder_hid_proj_type: nullOr(oneOf("linear")),
    added_emb_type: nullOr(oneOf("prd")),
    time_embed_dim: nullOr(isCount),
    embedding_proj_dim: nullOr(isCount),
    clip_embed_dim: nullOr(isCount),
  },
};
