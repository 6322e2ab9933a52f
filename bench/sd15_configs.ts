/** The config files of Stable Diffusion 1.5. */
export const UNET = {
  _class_name: "UNet2DConditionModel",
  ...{ sample_size: 64, in_channels: 4, out_channels: 4, block_out_channels: [320, 640, 1280, 1280] },
  ...{ layers_per_block: 2, cross_attention_dim: 768, attention_head_dim: 8, norm_num_groups: 32, norm_eps: 1e-5 },
  down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
};
export const VAE = {
  _class_name: "AutoencoderKL",
  ...{ sample_size: 512, in_channels: 3, out_channels: 3, latent_channels: 4, layers_per_block: 2 },
  ...{ block_out_channels: [128, 256, 512, 512], norm_num_groups: 32, scaling_factor: 0.18215 },
  down_block_types: new Array<string>(4).fill("DownEncoderBlock2D"),
  up_block_types: new Array<string>(4).fill("UpDecoderBlock2D"),
};
export const TEXT = {
  architectures: ["CLIPTextModel"],
  ...{ vocab_size: 49408, hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 },
  ...{ max_position_embeddings: 77, hidden_act: "quick_gelu", layer_norm_eps: 1e-5, projection_dim: 768 },
  ...{ model_type: "clip_text_model", bos_token_id: 1114, eos_token_id: 1115, pad_token_id: 1 },
};
export const INDEX = {
  _class_name: "StableDiffusionPipeline",
  _diffusers_version: "0.42.1",
  ...{ scheduler: ["diffusers", "PNDMScheduler"], text_encoder: ["transformers", "CLIPTextModel"] },
  ...{ tokenizer: ["transformers", "CLIPTokenizer"], unet: ["diffusers", "UNet2DConditionModel"] },
  ...{ vae: ["diffusers", "AutoencoderKL"], safety_checker: [null, null], feature_extractor: [null, null] },
  requires_safety_checker: false,
};
