/** The transformer of CLIP's text encoders (Radford et al. 2021), transformers' modeling_clip.py. */
import { Embedding, LayerNorm } from "../layers.js";
import { Module } from "../module.js";
import { CLIPEncoder, type CLIPEncoderConfig } from "./clip_encoder.js";
import { TokenEmbedding } from "./token_embedding.js";

/** The keys of the config that are read. */
export interface CLIPTextConfig extends CLIPEncoderConfig {
  vocab_size: number;
  projection_dim: number;
  max_position_embeddings: number;
  eos_token_id: number | null;
}

class CLIPTextEmbeddings extends Module {
  readonly token_embedding: TokenEmbedding;
  readonly position_embedding: Embedding;

  constructor({ vocab_size, max_position_embeddings, hidden_size }: CLIPTextConfig) {
    super();
    this.token_embedding = new TokenEmbedding(vocab_size, hidden_size);
    this.position_embedding = new Embedding(max_position_embeddings, hidden_size);
  }
}

export class CLIPTextTransformer extends Module {
  readonly embeddings: CLIPTextEmbeddings;
  readonly encoder: CLIPEncoder;
  readonly final_layer_norm: LayerNorm;

  constructor(config: CLIPTextConfig) {
    super();
    this.embeddings = new CLIPTextEmbeddings(config);
    this.encoder = new CLIPEncoder(config, { causal: true });
    this.final_layer_norm = new LayerNorm(config.hidden_size, config.layer_norm_eps);
  }
}
