/// <reference lib="esnext.disposable" preserve="true" />
/** webgpu-diffusers: Stable Diffusion on raw WebGPU, with diffusers' API. Importing this touches neither GPU nor files. */
export { deleteFromCache } from "./loader/hub/delete_from_cache.js";
export { EMBEDDED_MODEL } from "./loader/embedded.js";
export { CLIPTokenizer } from "./loader/tokenizer/clip_tokenizer.js";
export type { CLIPTokenizerOptions, CLIPTokenizerOutput, NewToken } from "./loader/tokenizer/clip_tokenizer.js";
export { openRepository, ConfigError, RepositoryError, SafetensorsError } from "./loader/repository.js";
export type { HubOptions, LoadProgress, Repository, RepositoryFile, RepositorySource } from "./loader/repository.js";

export { requestDevice, Device } from "./tensor/device.js";
export type { DeviceOptions } from "./tensor/device.js";
export { deviceCount, devices } from "./tensor/devices.js";
export type { DevicesOptions } from "./tensor/devices.js";
export type { DType } from "./tensor/dtype.js";
export {
  DeviceLostError,
  GPUValidationError,
  NoAdapterError,
  NumericalError,
  OutOfMemoryError,
  WebGPUDiffusersError,
} from "./tensor/errors.js";
export type { MemoryUse } from "./tensor/memory.js";
export { Generator, randnTensor } from "./tensor/random.js";
export type { GeneratorState, RandomDtype, RandomOptions } from "./tensor/random.js";
export { bits, foldIn, normal, PRNGKey, split, uniform } from "./tensor/random_jax.js";
export type { JAXKey, JAXOptions } from "./tensor/random_jax.js";
export { shard } from "./tensor/shard.js";
export { Tensor } from "./tensor/tensor.js";
export type { TensorOptions } from "./tensor/tensor.js";
export { forgetTunings, tune } from "./tensor/tuning/tune.js";
export type { TunedOp, TuneOptions } from "./tensor/tuning/tune.js";

export { AutoencoderKL } from "./nn/vae/autoencoder_kl.js";
export type { AutoencoderForwardOptions } from "./nn/vae/autoencoder_kl.js";
export { AutoencoderTiny } from "./nn/vae/autoencoder_tiny.js";
export { CLIPTextModel, CLIPTextModelWithProjection } from "./nn/clip/clip_text_model.js";
export type { CLIPTextOptions, CLIPTextOutput, CLIPTextProjectionOutput } from "./nn/clip/clip_text_model.js";
export { CLIPVisionModelWithProjection, type CLIPVisionProjectionOutput } from "./nn/clip/clip_vision_model.js";
export { ControlNetModel } from "./nn/controlnet/controlnet.js";
export type { ControlNetOptions } from "./nn/controlnet/controlnet.js";
export type { ControlNetOutput } from "./nn/controlnet/controlnet_trunk.js";
export { ControlNetUnionModel } from "./nn/controlnet/controlnet_union.js";
export type { ControlNetUnionOptions } from "./nn/controlnet/controlnet_union.js";
export { MultiAdapter } from "./nn/t2i_adapter/multi_adapter.js";
export { MultiControlNetModel } from "./nn/controlnet/multi_controlnet.js";
export { MultiControlNetUnionModel } from "./nn/controlnet/multi_controlnet_union.js";
export { DiagonalGaussian } from "./nn/vae/diagonal_gaussian.js";
export type { LoadingInfo } from "./nn/weights/load_model.js";
export type { FromPretrainedOptions, NumParametersOptions, SingleFileModelOptions } from "./nn/weights/pretrained.js";
export type { SaveOptions } from "./nn/weights/save_model.js";
export { loadSafetensors, type TensorFileOptions } from "./nn/weights/tensor_file.js";
export type { SaveTarget } from "./loader/save_target.js";
export type { TinyConfig as AutoencoderTinyConfig } from "./nn/vae/autoencoder_tiny.js";
export type { CLIPTextConfig } from "./nn/clip/clip_text_transformer.js";
export type { BlockScale, BlockScales, ImagePromptScale } from "./nn/ip_adapter/scales.js";
export type { CLIPVisionConfig, CLIPVisionOptions } from "./nn/clip/clip_vision_transformer.js";
export { T2IAdapter } from "./nn/t2i_adapter/t2i_adapter.js";
export type { T2IAdapterConfig } from "./nn/t2i_adapter/t2i_adapter_config.js";
export type { ControlNetConfig } from "./nn/controlnet/controlnet_config.js";
export type { ControlNetUnionConfig } from "./nn/controlnet/controlnet_union_config.js";
export type { UNet2DConditionConfig } from "./nn/unet/unet_2d_condition_config.js";
export type { UNet2DConfig } from "./nn/unet/unet_2d_config.js";
export type { VAEConfig as AutoencoderKLConfig } from "./nn/vae/vae.js";
export type { AddedCondKwargs } from "./nn/unet/added_embedding.js";
export type { ClassLabels } from "./nn/unet/class_embedding.js";
export type { FreeUFactors } from "./nn/unet/freeu.js";
export { DPTForDepthEstimation, type DepthEstimatorOutput } from "./nn/dpt/dpt_for_depth_estimation.js";
export type { DPTConfig } from "./nn/dpt/dpt_config.js";
export type { BitConfig } from "./nn/dpt/bit_config.js";
export { StableDiffusionSafetyChecker, type SafetyCheckerOutput } from "./nn/clip/safety_checker.js";
export type { SafetyCheckerConfig } from "./nn/clip/safety_checker_config.js";
export type { SafetyScores } from "./nn/clip/safety_scores.js";
export { PriorTransformer, type PriorForwardOptions } from "./nn/unclip/prior_transformer.js";
export type { PriorTransformerConfig } from "./nn/unclip/prior_transformer_config.js";
export { StableUnCLIPImageNormalizer, type ImageNormalizerConfig } from "./nn/unclip/image_normalizer.js";
export { UNet2DModel } from "./nn/unet/unet_2d.js";
export type { UNet2DForwardOptions } from "./nn/unet/unet_2d.js";
export { FlaxUNet2DConditionModel } from "./nn/unet/flax_unet_2d_condition.js";
export { UNet2DConditionModel } from "./nn/unet/unet_2d_condition.js";
export type { UNetForwardOptions } from "./nn/unet/unet_2d_condition.js";

export * from "./schedulers/index.js";

export {
  AutoPipelineForImage2Image,
  AutoPipelineForInpainting,
  AutoPipelineForText2Image,
} from "./pipelines/auto/auto_pipeline.js";
export type { Image2ImagePipeline, InpaintingPipeline, Text2ImagePipeline } from "./pipelines/auto/auto_pipeline.js";
export type { AutoOptions, AutoOutput } from "./pipelines/auto/auto_pipeline_options.js";
export {
  MultiPipelineCallbacks,
  PipelineCallback,
  SDCFGCutoffCallback,
  SDXLCFGCutoffCallback,
  type PipelineCallbackOptions,
} from "./pipelines/call/callbacks.js";
export type { ImageProcessorOutput } from "./pipelines/images/base_image_processor.js";
export { CLIPImageProcessor } from "./pipelines/images/clip_image_processor.js";
export type { CLIPImageProcessorConfig } from "./pipelines/images/clip_image_processor_config.js";
export { DPTImageProcessor } from "./pipelines/images/dpt_image_processor.js";
export type { DPTImageProcessorConfig } from "./pipelines/images/dpt_image_processor_config.js";
export {
  compareSchedulers,
  GUIDE_SCHEDULERS,
  type CompareCell,
  type CompareOptions,
  type CompareResult,
} from "./pipelines/compare.js";
export {
  ConsistencyModelPipeline,
  type ConsistencyModelOptions,
} from "./pipelines/unconditional/consistency_models.js";
export { DDIMPipeline, type DDIMOptions } from "./pipelines/unconditional/ddim.js";
export { DDPMPipeline } from "./pipelines/unconditional/ddpm.js";
export { DiffusionPipeline } from "./pipelines/index.js";
export type { AnyPipeline, PipelineOptions, SingleFileOptions } from "./pipelines/diffusion_pipeline.js";
export { estimateMemory, type MemoryEstimate } from "./pipelines/estimate_memory.js";
export type { DrawingSize } from "./pipelines/estimate_memory.js";
export { LatentConsistencyModelPipeline } from "./pipelines/latent_consistency/latent_consistency.js";
export type { LatentConsistencyOptions } from "./pipelines/latent_consistency/latent_consistency_base.js";
export {
  LatentConsistencyModelImg2ImgPipeline,
  type LatentConsistencyImg2ImgOptions,
} from "./pipelines/latent_consistency/latent_consistency_img2img.js";
export type { ImagePrompts } from "./pipelines/adapters/image_prompts.js";
export type { ImageEmbedsOptions, IPAdapterOptions } from "./pipelines/adapters/ip_adapter_loader.js";
export type { AdapterWeight, AdapterWeights, LoraComponent } from "./pipelines/adapters/lora_arguments.js";
export type { TextualInversionOptions, TextualInversionParts } from "./pipelines/adapters/textual_inversion_loader.js";
export type { EmbeddingsByToken, EmbeddingSource } from "./pipelines/adapters/textual_inversion_sources.js";
export type { FuseLoraOptions, LoraOptions } from "./pipelines/adapters/lora_loader.js";
export type { PipelineConfig } from "./pipelines/loading/pipeline_config.js";
export type { FlaxPipelineOptions } from "./pipelines/flax/flax_loading.js";
export { FlaxParams, replicate, ReplicatedParams } from "./pipelines/flax/flax_params.js";
export {
  FlaxStableDiffusionPipeline,
  type FlaxCallOptions,
  type FlaxStableDiffusionOutput,
} from "./pipelines/flax/flax_stable_diffusion.js";
export { KarrasVePipeline } from "./pipelines/unconditional/karras_ve.js";
export type { ImageOutputType } from "./pipelines/call/output_images.js";
export { PNDMPipeline } from "./pipelines/unconditional/pndm.js";
export { RePaintPipeline, type RePaintOptions } from "./pipelines/unconditional/repaint.js";
export { ScoreSdeVePipeline } from "./pipelines/unconditional/score_sde_ve.js";
export { RawImage } from "./pipelines/images/raw_image.js";
export type { EncodedImage } from "./pipelines/call/image_embeds.js";
export {
  StableDiffusionImageVariationPipeline,
  type ImageVariationComponents,
  type ImageVariationOptions,
} from "./pipelines/stable_diffusion/stable_diffusion_image_variation.js";
export { StableUnCLIPPipeline } from "./pipelines/unclip/stable_unclip.js";
export { StableUnCLIPImg2ImgPipeline } from "./pipelines/unclip/stable_unclip_img2img.js";
export type { NoiseImageOptions } from "./pipelines/unclip/unclip_base.js";
export type {
  UnCLIPImg2ImgComponents,
  UnCLIPImg2ImgOptions,
  UnCLIPOptions,
  UnCLIPTextComponents,
} from "./pipelines/unclip/unclip_options.js";
export { StableDiffusionPipeline } from "./pipelines/stable_diffusion/stable_diffusion.js";
export {
  StableDiffusionControlNetPipeline,
  type ControlNetPipelineOptions,
} from "./pipelines/controlnet/stable_diffusion_controlnet.js";
export {
  StableDiffusionAdapterPipeline,
  type AdapterComponents,
  type AdapterPipelineOptions,
} from "./pipelines/t2i_adapter/stable_diffusion_adapter.js";
export {
  StableDiffusionXLAdapterPipeline,
  type XLAdapterComponents,
  type XLAdapterPipelineOptions,
} from "./pipelines/t2i_adapter/stable_diffusion_xl_adapter.js";
export type { AdapterImage } from "./pipelines/t2i_adapter/adapter_images.js";
export {
  StableDiffusionXLControlNetPipeline,
  type XLControlNetPipelineOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet.js";
export {
  StableDiffusionXLControlNetImg2ImgPipeline,
  type XLControlNetImg2ImgOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet_img2img.js";
export {
  StableDiffusionXLControlNetInpaintPipeline,
  type XLControlNetInpaintOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet_inpaint.js";
export type { XLControlNetComponents } from "./pipelines/controlnet/stable_diffusion_xl_controlnet_base.js";
export {
  StableDiffusionXLControlNetUnionPipeline,
  type XLControlNetUnionPipelineOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet_union.js";
export {
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  type XLControlNetUnionImg2ImgOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet_union_img2img.js";
export {
  StableDiffusionXLControlNetUnionInpaintPipeline,
  type XLControlNetUnionInpaintOptions,
} from "./pipelines/controlnet/stable_diffusion_xl_controlnet_union_inpaint.js";
export type { XLControlNetUnionComponents } from "./pipelines/controlnet/stable_diffusion_xl_controlnet_union_base.js";
export {
  StableDiffusionControlNetImg2ImgPipeline,
  type ControlNetImg2ImgOptions,
} from "./pipelines/controlnet/stable_diffusion_controlnet_img2img.js";
export {
  StableDiffusionControlNetInpaintPipeline,
  type ControlNetInpaintOptions,
} from "./pipelines/controlnet/stable_diffusion_controlnet_inpaint.js";
export type { ControlNetComponents } from "./pipelines/controlnet/stable_diffusion_controlnet_base.js";
export {
  StableDiffusionImg2ImgPipeline,
  type Img2ImgOptions,
} from "./pipelines/stable_diffusion/stable_diffusion_img2img.js";
export {
  StableDiffusionInpaintPipeline,
  type InpaintOptions,
} from "./pipelines/stable_diffusion/stable_diffusion_inpaint.js";
export { StableDiffusionLatentUpscalePipeline } from "./pipelines/upscale/stable_diffusion_latent_upscale.js";
export { StableDiffusionUpscalePipeline } from "./pipelines/upscale/stable_diffusion_upscale.js";
export type {
  LatentUpscaleOptions,
  PooledPromptOptions,
  UpscaleComponents,
  UpscaleOptions,
} from "./pipelines/upscale/upscale_options.js";
export {
  StableDiffusionDepth2ImgPipeline,
  type Depth2ImgComponents,
  type Depth2ImgOptions,
} from "./pipelines/depth2img/stable_diffusion_depth2img.js";
export {
  StableDiffusionInstructPix2PixPipeline,
  type InstructPix2PixOptions,
} from "./pipelines/instruct_pix2pix/stable_diffusion_instruct_pix2pix.js";
export { StableDiffusionXLPipeline } from "./pipelines/stable_diffusion_xl/stable_diffusion_xl.js";
export { StableDiffusionXLImg2ImgPipeline } from "./pipelines/stable_diffusion_xl/stable_diffusion_xl_img2img.js";
export { StableDiffusionXLInpaintPipeline } from "./pipelines/stable_diffusion_xl/stable_diffusion_xl_inpaint.js";
export { StableDiffusionXLInstructPix2PixPipeline } from "./pipelines/instruct_pix2pix/stable_diffusion_xl_instruct_pix2pix.js";
export type * from "./pipelines/stable_diffusion_xl/stable_diffusion_xl_options.js";
export type { ImageInput } from "./pipelines/images/image_processor.js";
export type { MaskInput } from "./pipelines/images/mask_processor.js";
export type { PixelSource } from "./pipelines/images/pixels.js";
export type * from "./pipelines/stable_diffusion/stable_diffusion_options.js";
export type {
  ImagePipelineOutput,
  UnconditionalComponents,
  UnconditionalOptions,
} from "./pipelines/unconditional/unconditional.js";
