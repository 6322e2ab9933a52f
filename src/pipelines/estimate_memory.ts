/** How much GPU memory a pipeline needs, before any of it is taken and before weights are downloaded. */
import { whileReporting } from "../arguments/progress.js";
import { givenOptions } from "../arguments/spelling.js";
import type { RepositorySource } from "../loader/repository.js";
import { blankTokenizer } from "../loader/tokenizer/blank_tokenizer.js";
import type { CLIPTextModel, CLIPTextModelWithProjection } from "../nn/clip/clip_text_model.js";
import { contextWidth } from "../nn/unet/unet_2d_condition_options.js";
import { ModelList } from "../nn/weights/model_list.js";
import { PretrainedModel } from "../nn/weights/pretrained.js";
import { blankDevice } from "../tensor/blank_device.js";
import { ensureDevice } from "../tensor/device.js";
import { Tensor } from "../tensor/tensor.js";
import { takeOptions, type OptionTable } from "./call/call_options.js";
import { encodeIds } from "./call/encode_prompt.js";
import type { AnyPipeline, DiffusionPipeline } from "./diffusion_pipeline.js";
import { RawImage } from "./images/raw_image.js";
import { LatentConsistencyBase } from "./latent_consistency/latent_consistency_base.js";
import { TIME_IDS, TOKENS } from "./loading/first_pass.js";
import {
  loadPipeline,
  PIPELINE_OPTION_NAMES,
  registeredPipeline,
  type Components,
  type PipelineOptions,
} from "./loading/load_pipeline.js";
import { LatentDiffusion, type CallInput } from "./stable_diffusion/latent_diffusion.js";
import type { StableDiffusionOptions } from "./stable_diffusion/stable_diffusion_options.js";
import { StableDiffusionImageVariationPipeline } from "./stable_diffusion/stable_diffusion_image_variation.js";
import { encodeIdsXL } from "./stable_diffusion_xl/encode_prompt_xl.js";
import { StableDiffusionXLBase } from "./stable_diffusion_xl/stable_diffusion_xl_base.js";
import type { XLOptions } from "./stable_diffusion_xl/stable_diffusion_xl_options.js";
import { StableUnCLIPPipeline } from "./unclip/stable_unclip.js";
import { RePaintPipeline } from "./unconditional/repaint.js";
import { sampleSize, type UnconditionalOptions } from "./unconditional/unconditional.js";
import { encodeIdsPooled } from "./upscale/encode_prompt_pooled.js";
import { StableDiffusionLatentUpscalePipeline } from "./upscale/stable_diffusion_latent_upscale.js";
import type { LatentUpscaleOptions } from "./upscale/upscale_options.js";

/** What decides how much memory a call takes; names and defaults as in the call itself. */
export interface DrawingSize
  extends
    Pick<
      StableDiffusionOptions,
      "height" | "width" | "numImagesPerPrompt" | "guidanceScale" | "numInferenceSteps" | "outputType"
    >,
    Pick<UnconditionalOptions, "batchSize"> {}

/** Bytes of GPU buffers and textures. What drivers take besides, compiled kernels for one, is not among them. */
export interface MemoryEstimate {
  /** What the loaded pipeline holds: nearly nothing with `enableModelCpuOffload`. */
  weights: number;
  /** The most that is held at any time of a call, weights included. */
  peak: number;
}

/** Steps that are enough where none is recorded: the thousandth takes no more memory than the tenth, which has a full history. */
const FEW = 10;

const SIZE_OPTIONS: OptionTable<Required<DrawingSize>> = {
  height: true,
  width: true,
  numImagesPerPrompt: false,
  guidanceScale: false,
  numInferenceSteps: false,
  outputType: false,
  batchSize: false,
};

/**
 * The GPU memory of a pipeline, by drawing a picture with it on a device that only counts. Configs are all that is read.
 * @param source as for `fromPretrained`
 * @param options what `fromPretrained` is going to get. `device`: whose limits and kernels count, by default the one made first
 * @param drawing what the call is going to get, a picture to begin with of this size, too (of an upscaler that alone); of several prompts their number times
 *   `numImagesPerPrompt`
 * @returns bytes; loading itself takes up to 67 MB above the weights for a while
 * @throws what `fromPretrained` and the call throw, where a tensor exceeds the adapter's limits for one
 * @example
 * const { weights, peak } = await estimateMemory("owner/name", { dtype: "float16" }, { height: 768, width: 768 });
 */
export async function estimateMemory(
  source: RepositorySource,
  options?: (PipelineOptions & Components) | null,
  drawing?: DrawingSize | null,
): Promise<MemoryEstimate> {
  const size = takeOptions("estimateMemory", drawing, SIZE_OPTIONS, "refuse");
  const { device: real, ...load } = givenOptions(options, PIPELINE_OPTION_NAMES, "estimateMemory");
  for (const [name, part] of Object.entries(load))
    if ([part].flat().some((each) => each instanceof PretrainedModel))
      throw new TypeError(`estimateMemory: ${name} is loaded already, and cannot be counted; leave it out`);
  const device = blankDevice(await ensureDevice(real));
  try {
    return await whileReporting(load, async (controller, progressCallback) => {
      const how = { classOf: registeredPipeline, controller, blank: true };
      const pipeline = await loadPipeline(source, { ...load, device, progressCallback }, how);
      const weights = device.memoryUse.bytes;
      await draw(pipeline, { ...size, signal: controller.signal });
      return { weights, peak: device.memoryUse.peakBytes };
    });
  } finally {
    device.destroy();
  }
}

/** Calls a blank pipeline; what it returns goes with the device. */
async function draw(pipeline: DiffusionPipeline, options: DrawingSize & { signal: AbortSignal }): Promise<void> {
  pipeline.setProgressBarConfig({ disable: true });
  if (!(pipeline instanceof LatentDiffusion)) {
    const numInferenceSteps = Math.min(options.numInferenceSteps ?? FEW, FEW);
    await (pipeline as AnyPipeline)({ ...unprompted(pipeline, options), numInferenceSteps });
    return;
  }
  const { encodedImage = null, ...given } = begun(pipeline, options);
  if (pipeline instanceof StableUnCLIPPipeline) {
    // Its prior reads nothing but texts.
    for (const [name, encoder] of [
      ["tokenizer", pipeline.text_encoder],
      ["prior_tokenizer", pipeline.prior_text_encoder],
    ] as const)
      pipeline[name] = blankTokenizer(encoder.config.max_position_embeddings);
    await pipeline("", given);
    return;
  }
  await (pipeline as DiffusionPipeline as AnyPipeline)(encodedImage, { ...given, ...(await embedsOf(pipeline)) });
}

async function embedsOf(pipeline: LatentDiffusion): Promise<object> {
  if (pipeline instanceof StableDiffusionImageVariationPipeline) return {};
  if (pipeline instanceof StableDiffusionXLBase) return blankEmbedsXL(pipeline);
  return pipeline instanceof StableDiffusionLatentUpscalePipeline ? blankEmbedsPooled(pipeline) : blankEmbeds(pipeline);
}

/** The options of a pipeline that takes no prompt; one that repaints gets as many blank pictures as are drawn. */
function unprompted(pipeline: DiffusionPipeline, options: DrawingSize): object {
  if (!(pipeline instanceof RePaintPipeline)) return options;
  const { batchSize = 1, ...others } = options;
  const { in_channels: channels } = pipeline.unet.config;
  const blank = (...shape: number[]): Tensor =>
    Tensor.empty(pipeline.device, [...shape, ...sampleSize(pipeline.unet)], "float32");
  return { ...others, image: blank(batchSize, channels), maskImage: blank(1, 1) };
}

const blankIds = ({ config }: CLIPTextModel | CLIPTextModelWithProjection): number[][] => [
  new Array<number>(config.max_position_embeddings).fill(0),
];

/** Prompts, there being no tokenizer: what the encoders take is counted, the numbers are none. */
async function blankEmbeds(
  pipeline: LatentDiffusion,
): Promise<Pick<StableDiffusionOptions, "promptEmbeds" | "negativePromptEmbeds">> {
  const { device, unet, text_encoder: encoder } = pipeline;
  const encode = async (): Promise<Tensor> => {
    if (encoder) return encoder.residence.visit(() => encodeIds(encoder, blankIds(encoder)));
    return Tensor.empty(device, [1, TOKENS, contextWidth(unet.config)], unet.dtype);
  };
  const promptEmbeds = await encode();
  return pipeline instanceof LatentConsistencyBase
    ? { promptEmbeds }
    : { promptEmbeds, negativePromptEmbeds: await encode() };
}

async function blankEmbedsXL({
  device,
  unet,
  text_encoder,
  text_encoder_2,
}: StableDiffusionXLBase): Promise<XLOptions> {
  for (const encoder of [text_encoder, text_encoder_2] as (CLIPTextModel | CLIPTextModelWithProjection | null)[]) {
    if (!encoder) continue;
    const { states, pooled } = await encoder.residence.visit(() => encodeIdsXL(encoder, blankIds(encoder)));
    for (const tensor of [states, pooled]) tensor?.dispose();
  }
  const { projection_class_embeddings_input_dim: all, addition_time_embed_dim: each } = unet.config;
  const width =
    (text_encoder_2 as CLIPTextModelWithProjection | null)?.config.projection_dim ??
    (all ?? 0) - TIME_IDS * (each ?? 0);
  const pooled = (): Tensor => Tensor.empty(device, [1, width], unet.dtype);
  const states = (): Tensor => Tensor.empty(device, [1, TOKENS, contextWidth(unet.config)], unet.dtype);
  return {
    promptEmbeds: states(),
    pooledPromptEmbeds: pooled(),
    negativePromptEmbeds: states(),
    negativePooledPromptEmbeds: pooled(),
  };
}

async function blankEmbedsPooled({
  device,
  unet,
  text_encoder: encoder,
}: StableDiffusionLatentUpscalePipeline): Promise<Partial<LatentUpscaleOptions>> {
  const encode = async (): Promise<{ states: Tensor; pooled: Tensor }> => {
    if (encoder) return encoder.residence.visit(() => encodeIdsPooled(encoder, blankIds(encoder)));
    const width = contextWidth(unet.config);
    const [states, pooled] = [
      [1, TOKENS, width],
      [1, width],
    ].map((shape) => Tensor.empty(device, shape, unet.dtype));
    return { states, pooled };
  };
  const [positive, negative] = [await encode(), await encode()];
  return {
    promptEmbeds: positive.states,
    pooledPromptEmbeds: positive.pooled,
    negativePromptEmbeds: negative.states,
    negativePooledPromptEmbeds: negative.pooled,
  };
}

/** The options with what a call begins with besides prompts: blank pictures of the size that is drawn, and all steps. */
function begun(pipeline: LatentDiffusion, options: DrawingSize): Record<string, unknown> {
  const { callInputs } = pipeline.constructor as typeof LatentDiffusion;
  const { height, width, ...others } = options;
  const size = pipeline.imageSize({ height: height ?? undefined, width: width ?? undefined });
  const picture = new RawImage(size.width, size.height, new Uint8ClampedArray(size.width * size.height), 1);
  const readers = Object.values(pipeline.components as object).find((part) => part instanceof ModelList);
  const read = readers ? readers.models.map(() => picture) : picture;
  const { depth_estimator } = pipeline as { depth_estimator?: unknown };
  const inputs: Record<Exclude<CallInput, "size">, unknown> = {
    image: callInputs.includes("controlImage") ? picture : read,
    maskImage: picture,
    controlImage: read,
    controlMode: [read].flat().map(() => 0),
    strength: 1,
    encodedImage: picture,
    depthMap: depth_estimator === null ? Tensor.empty(pipeline.device, [1, 1, 1], "float32") : null,
  };
  const given = Object.entries(inputs).filter(([name]) => callInputs.includes(name as CallInput));
  return { ...(callInputs.includes("size") ? options : others), ...Object.fromEntries(given) };
}
