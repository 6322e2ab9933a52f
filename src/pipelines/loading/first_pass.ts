/** Compiling the kernels of a model's first pass while its weights are still on their way. */
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import { PriorTransformer } from "../../nn/unclip/prior_transformer.js";
import { ControlNetModel } from "../../nn/controlnet/controlnet.js";
import { ControlNetUnionModel } from "../../nn/controlnet/controlnet_union.js";
import { DPTForDepthEstimation } from "../../nn/dpt/dpt_for_depth_estimation.js";
import type { AddedCondKwargs } from "../../nn/unet/added_embedding.js";
import { T2IAdapter } from "../../nn/t2i_adapter/t2i_adapter.js";
import { UNet2DModel } from "../../nn/unet/unet_2d.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { contextWidth } from "../../nn/unet/unet_2d_condition_options.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import { assignBlankWeights } from "../../nn/weights/allocate.js";
import type { PretrainedModel } from "../../nn/weights/pretrained.js";
import type { Device } from "../../tensor/device.js";
import { dryDevice } from "../../tensor/dry_device.js";
import { Tensor } from "../../tensor/tensor.js";

/** Latents of SDXL. Beyond it a config says nothing that can be relied on. */
const MAX_SIDE = 128;
/** CLIP's tokens. */
export const TOKENS = 77;

/**
 * Runs the model without weights on a device that only compiles. Kernels depend on widths, dtypes and roughly on sizes, so
 * the sizes that the config calls for are a good guess; a wrong one costs a kernel or two that nobody needs, and the pass
 * itself compiles what is missing.
 */
export function warmUp(model: PretrainedModel<object>, device: Device): void {
  const dry = dryDevice(device);
  try {
    device.scope(() => {
      assignBlankWeights(model, dry);
      firstPass(model, (...shape) => Tensor.empty(dry, shape, "float32"));
    });
  } catch {
    // A pass that fails here fails again, and says why, when it is wanted.
  } finally {
    for (const [, parameter] of model.parameters()) parameter.dispose();
  }
}

function firstPass(model: PretrainedModel<object>, input: (...shape: number[]) => Tensor): void {
  if (model instanceof UNet2DConditionModel) {
    const { in_channels, time_cond_proj_dim, sample_size, class_embed_type, num_class_embeds } = model.config;
    const isNumbered = class_embed_type === "timestep" || (class_embed_type === null && num_class_embeds !== null);
    const batch = time_cond_proj_dim === null ? 2 : 1; // with guidance, or distilled
    const timestepCond = time_cond_proj_dim === null ? undefined : input(batch, time_cond_proj_dim);
    const context = input(batch, TOKENS, contextWidth(model.config));
    const addedCondKwargs = sizeConditions(model, (width) => input(batch, width));
    const classLabels = isNumbered ? [0] : classVectors(model, (width) => input(batch, width));
    const conditions = { timestepCond, addedCondKwargs, classLabels };
    model.forward(input(batch, in_channels, ...sides(sample_size, 64)), 1, context, conditions);
  } else if (model instanceof ControlNetModel || model instanceof ControlNetUnionModel) {
    const { in_channels, cross_attention_dim, conditioning_channels, conditioning_embedding_out_channels } =
      model.config;
    const side = 64; // its config says nothing of sizes
    const pixels = side * 2 ** (conditioning_embedding_out_channels.length - 1);
    const [sample, prompt] = [input(2, in_channels, side, side), input(2, TOKENS, cross_attention_dim)];
    const addedCondKwargs = sizeConditions(model, (width) => input(2, width));
    const picture = input(2, conditioning_channels, pixels, pixels);
    if (model instanceof ControlNetModel) model.forward(sample, 1, prompt, picture, { addedCondKwargs });
    else {
      const controlType = input(2, model.config.num_control_type);
      model.forward(sample, 1, prompt, [picture], controlType, [0], { addedCondKwargs });
    }
  } else if (model instanceof T2IAdapter) {
    const side = 64 * model.downscaleFactor; // its config says nothing of sizes
    model.forward(input(1, model.config.in_channels, side, side));
  } else if (model instanceof UNet2DModel) {
    model.forward(input(1, model.config.in_channels, ...sides(model.config.sample_size, 32)), 1);
  } else if (model instanceof AutoencoderKL) {
    const [height, width] = sides(model.config.sample_size, 512, model.scaleFactor);
    model.decode(input(1, model.config.latent_channels, height, width));
  } else if (model instanceof AutoencoderTiny) {
    model.decode(input(1, model.config.latent_channels, 64, 64));
  } else if (model instanceof CLIPTextModel || model instanceof CLIPTextModelWithProjection) {
    const tokens = Math.min(TOKENS, model.config.max_position_embeddings);
    model.forward([new Array<number>(tokens).fill(0)]).catch(() => undefined); // nothing in it waits
  } else if (model instanceof StableDiffusionSafetyChecker) {
    const { num_channels, image_size: side } = model.config.vision_config;
    model.embed(input(1, num_channels, side, side));
  } else if (model instanceof PriorTransformer) {
    const { num_embeddings: tokens, embedding_dim: width, embedding_proj_dim, encoder_hid_proj_type } = model.config;
    const texts = encoder_hid_proj_type && {
      encoderHiddenStates: input(2, tokens, width),
      attentionMask: input(2, tokens),
    };
    model.forward(input(2, width), 1, input(2, embedding_proj_dim ?? width), texts ?? {});
  } else if (model instanceof CLIPVisionModelWithProjection) {
    const { num_channels, image_size: side } = model.config;
    model.forward(input(1, num_channels, side, side));
  } else if (model instanceof DPTForDepthEstimation) {
    const { num_channels, image_size: side } = model.config;
    model.forward(input(1, num_channels, side, side));
  }
}

/** Of models that are told of pictures as vectors, unCLIP's. */
function classVectors({ config }: UNet2DConditionModel, input: (width: number) => Tensor): Tensor | undefined {
  const { class_embed_type: type, projection_class_embeddings_input_dim: width } = config;
  return type !== null && type.endsWith("projection") && width !== null ? input(width) : undefined;
}

/** Numbers of Stable Diffusion XL's time_ids: original size, crop, target size. */
export const TIME_IDS = 6;

function sizeConditions(
  { config }: UNet2DConditionModel | ControlNetModel | ControlNetUnionModel,
  input: (width: number) => Tensor,
): AddedCondKwargs | undefined {
  const {
    addition_embed_type: type,
    addition_time_embed_dim: perId,
    projection_class_embeddings_input_dim: all,
  } = config;
  if (type !== "text_time" || perId === null || all === null) return undefined;
  return { textEmbeds: input(all - TIME_IDS * perId), timeIds: input(TIME_IDS) };
}

/** @param scale pixels per latent where `size` is in pixels */
function sides(size: number | readonly number[] | null, fallback: number, scale = 1): [height: number, width: number] {
  const [height, width = height] = [size ?? fallback].flat();
  const side = (n: number): number => Math.min(MAX_SIDE, Math.max(1, Math.floor(n / scale)));
  return [side(height), side(width)];
}
