/** Pictures by the depth of others, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_depth2img.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import { DPTForDepthEstimation } from "../../nn/dpt/dpt_for_depth_estimation.js";
import { notYet } from "../../nn/not_yet.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { DType } from "../../tensor/dtype.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { DEPTH_TENSORS } from "../call/callback_tensors.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS, checkPrompts, checkTensor } from "../call/check_inputs.js";
import { repeatedTo } from "../call/encode_image.js";
import { PROMPT_GUIDANCE } from "../call/guidance.js";
import { checkStrength, imageLatents, imageTimesteps } from "../call/image_latents.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { SeenPicture } from "../call/seen_picture.js";
import { DPTImageProcessor } from "../images/dpt_image_processor.js";
import { checkImages, processedSize, type ImageInput } from "../images/image_processor.js";
import { listOf } from "../images/pixels.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { OneEncoderComponents } from "../stable_diffusion/one_encoder_diffusion.js";
import { PromptedDiffusion } from "../stable_diffusion/prompted_diffusion.js";
import { patchSampleSize } from "../stable_diffusion/stable_diffusion_config.js";
import type { Img2ImgOptions } from "../stable_diffusion/stable_diffusion_img2img.js";
import type { Prompt, StableDiffusionOutput } from "../stable_diffusion/stable_diffusion_options.js";
import { estimatedDepth, normalizedDepth, readDepth } from "./depth_map.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionDepth2ImgPipeline.__call__. */
export interface Depth2ImgOptions extends Omit<
  Img2ImgOptions,
  "timesteps" | "sigmas" | "ipAdapterImage" | "ipAdapterImageEmbeds"
> {
  /**
   * How near things are, in any unit, [pictures, height, width] of any size, one for each picture of the batch or a divisor of that; by
   * default what the depth estimator says of `image`. Not disposed.
   */
  depthMap?: Tensor | null;
}

/** Parts by their names in model_index.json, null for one that is left out. */
// A type, not an interface: code for any class goes through components by name.
export type Depth2ImgComponents = OneEncoderComponents & {
  /** Calls with a `depthMap` do without both. */
  depth_estimator: DPTForDepthEstimation | null;
  feature_extractor: DPTImageProcessor | null;
};

function optionTable(): OptionTable<Required<Depth2ImgOptions>> {
  const {
    height: _height,
    width: _width,
    latents: _latents,
    guidanceRescale: _rescale,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ipAdapterImage: _image,
    ipAdapterImageEmbeds: _embeds,
    ...shared
  } = CALL_OPTIONS;
  return { image: false, strength: false, depthMap: true, ...shared };
}
const DEPTH2IMG_OPTIONS = optionTable();

const purpose = "to estimate the depth of `image`; `depthMap`, a Tensor [pictures, height, width], does without";
const NEEDS = {
  depth_estimator: { classes: [DPTForDepthEstimation], purpose },
  feature_extractor: { classes: [DPTImageProcessor], purpose },
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionDepth2ImgPipeline {
  (
    prompt: Prompt,
    options: Depth2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: Depth2ImgOptions): Promise<StableDiffusionOutput>;
}

/** Picture to picture by a UNet that sees the picture's depth (5 input channels: stabilityai/stable-diffusion-2-depth). */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionDepth2ImgPipeline extends PromptedDiffusion {
  static override readonly className = "StableDiffusionDepth2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "strength", "depthMap"];
  static override readonly componentNames = [
    ...PromptedDiffusion.componentNames,
    "depth_estimator",
    "feature_extractor",
  ];
  static override readonly componentClasses = {
    ...PromptedDiffusion.componentClasses,
    depth_estimator: DPTForDepthEstimation,
  };
  /** Says how near things in a picture are. */
  depth_estimator: DPTForDepthEstimation | null;
  /** Makes pictures as the depth estimator takes them. */
  feature_extractor: DPTImageProcessor | null;
  image_encoder: null = null;

  constructor(components: Depth2ImgComponents) {
    super(components);
    this.depth_estimator = components.depth_estimator;
    this.feature_extractor = components.feature_extractor;
    if (components.unet) patchSampleSize(components.unet);
  }

  override get components(): Depth2ImgComponents {
    return super.components as Depth2ImgComponents;
  }

  /**
   * Draws pictures of what is where in others. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline("two tigers", { image: await RawImage.open("cats.png"), strength: 0.7 });
   */
  override async call(
    prompt: Prompt = null,
    given?: Depth2ImgOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const { image, strength = 0.8, depthMap, ...options } = takeOptions(className, given, DEPTH2IMG_OPTIONS, "warn");
    const run = this.prepareRun(options);
    const { device, vae, vaeScaleFactor } = this;
    const latentChannels = this.#latentChannels();
    checkStrength(strength);
    checkPrompts(prompt, options, device, DEPTH_TENSORS);
    checkGeneratorTypes(options.generator);
    checkImages(image, device);
    checkTensor("depthMap", depthMap, ["pictures", "height", "width"], device);
    if (!depthMap) this.#expectEstimator(image, latentChannels);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels };
    const { scheduler } = run;
    const { generator } = options;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => imageTimesteps(scheduler, options, strength),
        latents: async (batch, dtype, [timestep]) => {
          const channels = await this.#depth(image, depthMap, batch, dtype);
          const wanted = { batch, dtype, generator, scheduler, timestep };
          try {
            const latents = await this.withModels(["vae"], () => imageLatents(encoder, image, wanted));
            return { latents, channels };
          } catch (error) {
            channels.dispose();
            throw error;
          }
        },
      },
      options,
    );
  }

  /** @throws RangeError for a UNet that sees no depth */
  #latentChannels(): number {
    const { in_channels: takes, out_channels: channels } = this.unet.config;
    if (takes === channels + 1) return channels;
    throw new RangeError(
      `${this.className}: the UNet must take the depth beside the latents that it draws, ${channels + 1} channels (in_channels), got ` +
        `${takes}; ${this.otherClass}`,
    );
  }

  /** @throws TypeError where nothing could tell the depth of a picture */
  #expectEstimator(image: ImageInput | readonly ImageInput[], latentChannels: number): void {
    for (const name of ["depth_estimator", "feature_extractor"] as const)
      needComponent(this.className, name, this[name], NEEDS[name]);
    const [first] = listOf(image);
    if (first instanceof Tensor && first.shape.at(-3) === latentChannels)
      throw new TypeError(`${this.className}: with latents as \`image\`, \`depthMap\` is needed, too`);
  }

  /**
   * The channel that the UNet sees besides latents.
   * @throws RangeError for maps that do not go into the batch, or say nothing
   */
  async #depth(
    image: ImageInput | readonly ImageInput[],
    given: Tensor | undefined,
    batch: number,
    dtype: DType,
  ): Promise<SeenPicture> {
    const { device, vaeScaleFactor: scaleFactor } = this;
    const { height, width } = processedSize(image, { scaleFactor, latentChannels: this.unet.config.out_channels });
    const size = { height: height / scaleFactor, width: width / scaleFactor };
    const estimator = this.depth_estimator!;
    const processor = this.feature_extractor!;
    const depth = given
      ? await readDepth(given, "depthMap")
      : await this.withModels(["depth_estimator"], () => estimatedDepth({ estimator, processor }, image, dtype));
    const { values, shape } = normalizedDepth(depth, dtype, size, device);
    if (batch % shape[0] !== 0)
      throw new RangeError(
        `Cannot duplicate ${given ? "`depthMap`" : "the depth of `image`"} of batch size ${shape[0]} to ${batch} text prompts.`,
      );
    const mask = device.scope(() => {
      const all = repeatedTo(batch, Tensor.from(values, shape, { device }));
      return this.doClassifierFreeGuidance ? concat(all, all, 0) : all;
    });
    return new SeenPicture(PROMPT_GUIDANCE.branches, mask, "depth_mask");
  }

  /** Python's class has none either. */
  override loadIpAdapter(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadIpAdapter"));
  }
}
