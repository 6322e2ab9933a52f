import { throwIfAborted } from "../../arguments/signal.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkInputs, checkTensor, promptCount, type CallOptions } from "../call/check_inputs.js";
import { afterEncoding } from "../call/encode_image.js";
import { givenLatents } from "../call/image_latents.js";
import { checkEncodedImage, encodeImageEmbeds, imageCount, type EncodedImage } from "../call/image_embeds.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import type { ImagePipelineOutput } from "../unconditional/unconditional.js";
import { UnCLIPBase } from "./unclip_base.js";
import {
  UNCLIP_DEFAULTS,
  UNCLIP_IMG2IMG_OPTIONS,
  type UnCLIPImg2ImgComponents,
  type UnCLIPImg2ImgOptions,
} from "./unclip_options.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableUnCLIPImg2ImgPipeline {
  (
    image: EncodedImage | null,
    options: UnCLIPImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<ImagePipelineOutput<Tensor>>;
  (image: EncodedImage | null, options?: UnCLIPImg2ImgOptions | null): Promise<ImagePipelineOutput>;
}

/**
 * Pictures like a picture, and as a prompt says (stabilityai/stable-diffusion-2-1-unclip, -small): the UNet is told what CLIP sees in it.
 * diffusers: pipelines/stable_diffusion/pipeline_stable_unclip_img2img.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableUnCLIPImg2ImgPipeline extends UnCLIPBase {
  static override readonly className = "StableUnCLIPImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "encodedImage"];
  static override readonly componentNames = [
    "feature_extractor",
    "image_encoder",
    "image_normalizer",
    "image_noising_scheduler",
    "tokenizer",
    "text_encoder",
    "unet",
    "scheduler",
    "vae",
  ];
  static override readonly componentClasses = {
    ...UnCLIPBase.componentClasses,
    image_encoder: CLIPVisionModelWithProjection,
  };
  /** Makes pictures as the image encoder takes them. */
  feature_extractor: CLIPImageProcessor | null;
  image_encoder: CLIPVisionModelWithProjection | null;

  constructor(components: UnCLIPImg2ImgComponents) {
    super(components);
    this.feature_extractor = components.feature_extractor;
    this.image_encoder = components.image_encoder;
  }

  override get components(): UnCLIPImg2ImgComponents {
    return super.components as UnCLIPImg2ImgComponents;
  }

  /**
   * Draws pictures like the given one, for each prompt, or like each of a list, for as many prompts. It takes turns as a
   * StableDiffusionPipeline does.
   * @param image null where imageEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline(image, { prompt: "a fantasy landscape", noiseLevel: 100 });
   */
  override async call(
    image: EncodedImage | null,
    given?: UnCLIPImg2ImgOptions | null,
  ): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const { className, device } = this;
    const taken = takeOptions(className, given, UNCLIP_IMG2IMG_OPTIONS, "warn");
    const { prompt: text = null, noiseLevel = 0, imageEmbeds, ...others } = taken;
    const options: CallOptions = { ...UNCLIP_DEFAULTS, ...others };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const isPlain = text === null && !options.promptEmbeds;
    const prompt: Prompt = !isPlain ? text : Array.isArray(image) ? image.map(() => "") : "";
    const size = this.drawnSize(options);
    checkInputs(prompt, size, options, device);
    const noiser = this.noiser(noiseLevel);
    this.#checkImage(image, imageEmbeds);
    const count = imageEmbeds?.shape[0] ?? imageCount(image!);
    const isAlone = !imageEmbeds && !Array.isArray(image) && !("shape" in image!);
    this.#expectCount({ prompts: promptCount(prompt, options), count, isAlone, guidanceScale: options.guidanceScale! });
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const latents = async (batch: number, dtype: DType): Promise<{ latents: Tensor; classLabels: Tensor }> => {
      const begun = device.scope(() => {
        const embeds = imageEmbeds ?? encodeImageEmbeds(this, image!);
        const noised = noiser(embeds, { generator: options.generator });
        const rows = repeatRows(noised, isAlone ? batch : (options.numImagesPerPrompt ?? 1));
        return {
          classLabels: this.guidedLabels(rows),
          latents: this.#latents(scheduler, batch, { ...options, ...size, dtype }),
        };
      });
      await afterEncoding(device, [begun.classLabels, begun.latents]);
      return begun;
    };
    const { images } = await this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        uses: imageEmbeds ? ["image_normalizer"] : ["image_encoder", "image_normalizer"],
        latents,
      },
      options,
    );
    return { images };
  }

  /** Noise as the first timestep wants it, or what was given, as it is. */
  #latents(
    scheduler: Scheduler,
    batch: number,
    options: CallOptions & { height: number; width: number; dtype: DType },
  ): Tensor {
    const { device, vaeScaleFactor, unet } = this;
    const { in_channels: channels } = unet.config;
    if (options.latents) return givenLatents(options.latents, batch, channels);
    const sides = [options.height, options.width].map((side) => Math.floor(side / vaeScaleFactor));
    return prepareLatents(device, [batch, channels, ...sides], scheduler.initNoiseSigma, options);
  }

  #checkImage(image: EncodedImage | null, imageEmbeds: Tensor | undefined): void {
    if (image && imageEmbeds)
      throw new TypeError("Provide either `image` or `imageEmbeds`. Please make sure to define only one of the two.");
    if (!image && !imageEmbeds)
      throw new TypeError(
        "Provide either `image` or `imageEmbeds`. Cannot leave both `image` and `imageEmbeds` undefined.",
      );
    checkTensor("imageEmbeds", imageEmbeds, ["pictures", "width"], this.device);
    if (!imageEmbeds) checkEncodedImage(this, image);
    this.expectLabels(imageEmbeds?.shape[1] ?? this.image_encoder!.config.projection_dim);
  }

  /** @throws RangeError unless there is a picture for each prompt; without guidance one is enough in any form, as in diffusers */
  #expectCount({
    prompts,
    count,
    isAlone,
    guidanceScale,
  }: {
    prompts: number;
    count: number;
    isAlone: boolean;
    guidanceScale: number;
  }): void {
    if (isAlone || count === prompts || (count === 1 && guidanceScale <= 1)) return;
    throw new RangeError(
      `\`prompt\` has batch size ${prompts} and \`image\` (or \`imageEmbeds\`) has batch size ${count}: give one picture, which is for ` +
        "all prompts, or as many as prompts",
    );
  }
}
