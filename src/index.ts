/// <reference lib="esnext.disposable" preserve="true" />
/** webgpu-diffusers: Stable Diffusion on raw WebGPU, with diffusers' API. Importing this touches neither GPU nor files. */
export { deleteFromCache } from "./loader/delete_from_cache.js";
export { EMBEDDED_MODEL } from "./loader/embedded.js";
export { CLIPTokenizer } from "./loader/clip_tokenizer.js";
export type { CLIPTokenizerOptions, CLIPTokenizerOutput, NewToken } from "./loader/clip_tokenizer.js";
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

export { AutoencoderKL } from "./nn/autoencoder_kl.js";
export type { AutoencoderForwardOptions } from "./nn/autoencoder_kl.js";
export { AutoencoderTiny } from "./nn/autoencoder_tiny.js";
export { CLIPTextModel, CLIPTextModelWithProjection } from "./nn/clip_text_model.js";
export type { CLIPTextOptions, CLIPTextOutput, CLIPTextProjectionOutput } from "./nn/clip_text_model.js";
export { CLIPVisionModelWithProjection, type CLIPVisionProjectionOutput } from "./nn/clip_vision_model.js";
export { ControlNetModel } from "./nn/controlnet.js";
export type { ControlNetOptions, ControlNetOutput } from "./nn/controlnet.js";
export { MultiControlNetModel } from "./nn/multi_controlnet.js";
export { DiagonalGaussian } from "./nn/diagonal_gaussian.js";
export type { LoadingInfo } from "./nn/load_model.js";
export type { FromPretrainedOptions, NumParametersOptions, SingleFileModelOptions } from "./nn/pretrained.js";
export type { SaveOptions } from "./nn/save_model.js";
export { loadSafetensors, type TensorFileOptions } from "./nn/tensor_file.js";
export type { SaveTarget } from "./loader/save_target.js";
export type { TinyConfig as AutoencoderTinyConfig } from "./nn/autoencoder_tiny.js";
export type { CLIPTextConfig } from "./nn/clip_text_transformer.js";
export type { BlockScale, BlockScales, ImagePromptScale } from "./nn/ip_adapter/scales.js";
export type { CLIPVisionConfig, CLIPVisionOptions } from "./nn/clip_vision_transformer.js";
export type { ControlNetConfig } from "./nn/controlnet_config.js";
export type { UNet2DConditionConfig } from "./nn/unet_2d_condition_config.js";
export type { UNet2DConfig } from "./nn/unet_2d_config.js";
export type { VAEConfig as AutoencoderKLConfig } from "./nn/vae.js";
export type { AddedCondKwargs } from "./nn/added_embedding.js";
export type { ClassLabels } from "./nn/class_embedding.js";
export type { FreeUFactors } from "./nn/freeu.js";
export { StableDiffusionSafetyChecker, type SafetyCheckerOutput } from "./nn/safety_checker.js";
export type { SafetyCheckerConfig } from "./nn/safety_checker_config.js";
export type { SafetyScores } from "./nn/safety_scores.js";
export { UNet2DModel } from "./nn/unet_2d.js";
export type { UNet2DForwardOptions } from "./nn/unet_2d.js";
export { FlaxUNet2DConditionModel } from "./nn/flax_unet_2d_condition.js";
export { UNet2DConditionModel } from "./nn/unet_2d_condition.js";
export type { UNetForwardOptions } from "./nn/unet_2d_condition.js";

export * from "./schedulers/index.js";

export {
  AutoPipelineForImage2Image,
  AutoPipelineForInpainting,
  AutoPipelineForText2Image,
} from "./pipelines/auto_pipeline.js";
export type { Image2ImagePipeline, InpaintingPipeline, Text2ImagePipeline } from "./pipelines/auto_pipeline.js";
export type { AutoOptions, AutoOutput } from "./pipelines/auto_pipeline_options.js";
export {
  MultiPipelineCallbacks,
  PipelineCallback,
  SDCFGCutoffCallback,
  SDXLCFGCutoffCallback,
  type PipelineCallbackOptions,
} from "./pipelines/callbacks.js";
export { CLIPImageProcessor, type CLIPImageProcessorOutput } from "./pipelines/clip_image_processor.js";
export type { CLIPImageProcessorConfig } from "./pipelines/clip_image_processor_config.js";
export {
  compareSchedulers,
  GUIDE_SCHEDULERS,
  type CompareCell,
  type CompareOptions,
  type CompareResult,
} from "./pipelines/compare.js";
export { ConsistencyModelPipeline, type ConsistencyModelOptions } from "./pipelines/consistency_models.js";
export { DDIMPipeline, type DDIMOptions } from "./pipelines/ddim.js";
export { DDPMPipeline } from "./pipelines/ddpm.js";
export { DiffusionPipeline } from "./pipelines/index.js";
export type { AnyPipeline, PipelineOptions, SingleFileOptions } from "./pipelines/diffusion_pipeline.js";
export { estimateMemory, type MemoryEstimate } from "./pipelines/estimate_memory.js";
export type { DrawingSize } from "./pipelines/estimate_memory.js";
export { LatentConsistencyModelPipeline } from "./pipelines/latent_consistency.js";
export type { LatentConsistencyOptions } from "./pipelines/latent_consistency_base.js";
export {
  LatentConsistencyModelImg2ImgPipeline,
  type LatentConsistencyImg2ImgOptions,
} from "./pipelines/latent_consistency_img2img.js";
export type { ImagePrompts } from "./pipelines/image_prompts.js";
export type { ImageEmbedsOptions, IPAdapterOptions } from "./pipelines/ip_adapter_loader.js";
export type { AdapterWeight, AdapterWeights, LoraComponent } from "./pipelines/lora_arguments.js";
export type { TextualInversionOptions, TextualInversionParts } from "./pipelines/textual_inversion_loader.js";
export type { EmbeddingsByToken, EmbeddingSource } from "./pipelines/textual_inversion_sources.js";
export type { FuseLoraOptions, LoraOptions } from "./pipelines/lora_loader.js";
export type { PipelineConfig } from "./pipelines/pipeline_config.js";
export type { FlaxPipelineOptions } from "./pipelines/flax_loading.js";
export { FlaxParams, replicate, ReplicatedParams } from "./pipelines/flax_params.js";
export {
  FlaxStableDiffusionPipeline,
  type FlaxCallOptions,
  type FlaxStableDiffusionOutput,
} from "./pipelines/flax_stable_diffusion.js";
export { KarrasVePipeline } from "./pipelines/karras_ve.js";
export type { ImageOutputType } from "./pipelines/output_images.js";
export { PNDMPipeline } from "./pipelines/pndm.js";
export { RePaintPipeline, type RePaintOptions } from "./pipelines/repaint.js";
export { ScoreSdeVePipeline } from "./pipelines/score_sde_ve.js";
export { RawImage } from "./pipelines/raw_image.js";
export { StableDiffusionPipeline } from "./pipelines/stable_diffusion.js";
export {
  StableDiffusionControlNetPipeline,
  type ControlNetPipelineOptions,
} from "./pipelines/stable_diffusion_controlnet.js";
export {
  StableDiffusionXLControlNetPipeline,
  type XLControlNetPipelineOptions,
} from "./pipelines/stable_diffusion_xl_controlnet.js";
export {
  StableDiffusionXLControlNetImg2ImgPipeline,
  type XLControlNetImg2ImgOptions,
} from "./pipelines/stable_diffusion_xl_controlnet_img2img.js";
export {
  StableDiffusionXLControlNetInpaintPipeline,
  type XLControlNetInpaintOptions,
} from "./pipelines/stable_diffusion_xl_controlnet_inpaint.js";
export type { XLControlNetComponents } from "./pipelines/stable_diffusion_xl_controlnet_base.js";
export {
  StableDiffusionControlNetImg2ImgPipeline,
  type ControlNetImg2ImgOptions,
} from "./pipelines/stable_diffusion_controlnet_img2img.js";
export {
  StableDiffusionControlNetInpaintPipeline,
  type ControlNetInpaintOptions,
} from "./pipelines/stable_diffusion_controlnet_inpaint.js";
export type { ControlNetComponents } from "./pipelines/stable_diffusion_controlnet_base.js";
export { StableDiffusionImg2ImgPipeline, type Img2ImgOptions } from "./pipelines/stable_diffusion_img2img.js";
export { StableDiffusionInpaintPipeline, type InpaintOptions } from "./pipelines/stable_diffusion_inpaint.js";
export { StableDiffusionLatentUpscalePipeline } from "./pipelines/stable_diffusion_latent_upscale.js";
export { StableDiffusionUpscalePipeline } from "./pipelines/stable_diffusion_upscale.js";
export type {
  LatentUpscaleOptions,
  PooledPromptOptions,
  UpscaleComponents,
  UpscaleOptions,
} from "./pipelines/upscale_options.js";
export {
  StableDiffusionInstructPix2PixPipeline,
  type InstructPix2PixOptions,
} from "./pipelines/stable_diffusion_instruct_pix2pix.js";
export { StableDiffusionXLPipeline } from "./pipelines/stable_diffusion_xl.js";
export { StableDiffusionXLImg2ImgPipeline } from "./pipelines/stable_diffusion_xl_img2img.js";
export { StableDiffusionXLInpaintPipeline } from "./pipelines/stable_diffusion_xl_inpaint.js";
export { StableDiffusionXLInstructPix2PixPipeline } from "./pipelines/stable_diffusion_xl_instruct_pix2pix.js";
export type * from "./pipelines/stable_diffusion_xl_options.js";
export type { ImageInput } from "./pipelines/image_processor.js";
export type { MaskInput } from "./pipelines/mask_processor.js";
export type { PixelSource } from "./pipelines/pixels.js";
export type * from "./pipelines/stable_diffusion_options.js";
export type { ImagePipelineOutput, UnconditionalComponents, UnconditionalOptions } from "./pipelines/unconditional.js";
