/** How much GPU memory a pipeline needs, before any of it is taken and before weights are downloaded. */
import { whileReporting } from "../arguments/progress.js";
import { givenOptions } from "../arguments/spelling.js";
import type { RepositorySource } from "../loader/repository.js";
import { blankTokenizer } from "../loader/tokenizer/blank_tokenizer.js";
import type { CLIPTokenizer } from "../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModel } from "../nn/clip/clip_text_model.js";
import { contextWidth } from "../nn/unet/unet_2d_condition_options.js";
import { ModelList } from "../nn/weights/model_list.js";
import { PretrainedModel } from "../nn/weights/pretrained.js";
import { blankDevice } from "../tensor/blank_device.js";
import { ensureDevice } from "../tensor/device.js";
import { Tensor } from "../tensor/tensor.js";
import { takeOptions, type OptionTable } from "./call/call_options.js";
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
import { StableDiffusionXLBase } from "./stable_diffusion_xl/stable_diffusion_xl_base.js";
import { RePaintPipeline } from "./unconditional/repaint.js";
import { sampleSize, type UnconditionalOptions } from "./unconditional/unconditional.js";
import { StableDiffusionLatentUpscalePipeline } from "./upscale/stable_diffusion_latent_upscale.js";

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

/** Which encoder reads what each tokenizer gives. */
const TOKENIZERS = {
  tokenizer: "text_encoder",
  tokenizer_2: "text_encoder_2",
  prior_tokenizer: "prior_text_encoder",
};

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
  const { encodedImage, ...given } = begun(pipeline, options);
  const call = pipeline as DiffusionPipeline as AnyPipeline;
  const reads = giveTokenizers(pipeline);
  if (encodedImage) await call(encodedImage, given);
  else await (reads ? call("", given) : call(null, { ...given, ...blankEmbeds(pipeline) }));
}

/** Vocabularies are not read for an estimate, and the empty text has as many tokens as any. @returns whether there are encoders of texts */
function giveTokenizers(pipeline: LatentDiffusion): boolean {
  const parts = pipeline as unknown as Record<string, CLIPTextModel | CLIPTokenizer | null | undefined>;
  const encoders = Object.entries(TOKENIZERS).filter(([, name]) => parts[name]);
  for (const [tokenizer, name] of encoders)
    parts[tokenizer] = blankTokenizer((parts[name] as CLIPTextModel).config.max_position_embeddings);
  return encoders.length > 0;
}

/** What a call gets for prompts where nothing reads them. */
function blankEmbeds(pipeline: LatentDiffusion): object {
  const { device, unet } = pipeline;
  const width = contextWidth(unet.config);
  const blank = (...shape: number[]): Tensor => Tensor.empty(device, [1, ...shape], unet.dtype);
  const states = { promptEmbeds: blank(TOKENS, width) };
  if (pipeline instanceof LatentConsistencyBase) return states;
  const embeds = { ...states, negativePromptEmbeds: blank(TOKENS, width) };
  const { projection_class_embeddings_input_dim: all, addition_time_embed_dim: each } = unet.config;
  let pooled: number;
  if (pipeline instanceof StableDiffusionXLBase) pooled = (all ?? 0) - TIME_IDS * (each ?? 0);
  else if (pipeline instanceof StableDiffusionLatentUpscalePipeline) pooled = width;
  else return embeds;
  return { ...embeds, pooledPromptEmbeds: blank(pooled), negativePooledPromptEmbeds: blank(pooled) };
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
