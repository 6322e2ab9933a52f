/** Parts of pictures drawn anew, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_inpaint.py. */
import { shown } from "../arguments/shown.js";
import { throwIfAborted } from "../arguments/signal.js";
import { Tensor } from "../tensor/tensor.js";
import { INPAINT_TENSORS } from "./callback_tensors.js";
import { takeOptions, type OptionTable } from "./call_options.js";
import { CALL_OPTIONS, checkInputs, checkTensor } from "./check_inputs.js";
import { checkStrength, imageTimesteps } from "./image_latents.js";
import { checkImages, stretch, type ImageInput } from "./image_processor.js";
import { inpaintLatents } from "./inpaint_latents.js";
import { warnOfLegacyCallback } from "./legacy_callback.js";
import { cropRegion, fitRegion, type CropRegion } from "./mask_crop.js";
import { checkMasks, type MaskInput } from "./mask_processor.js";
import { overlay } from "./overlay.js";
import type { PixelSource } from "./pixels.js";
import type { RawImage } from "./raw_image.js";
import { StableDiffusionBase } from "./stable_diffusion_base.js";
import type { Prompt, StableDiffusionOptions, StableDiffusionOutput } from "./stable_diffusion_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionInpaintPipeline.__call__. */
export interface InpaintOptions extends Omit<StableDiffusionOptions, "guidanceRescale"> {
  /**
   * What to draw into: one picture, or as many as prompts (or a divisor of that). They get the size that is drawn, by default the
   * model's. Tensors are not disposed.
   */
  image: ImageInput | readonly ImageInput[];
  /** White where something new is drawn, black where the picture stays; one, or as many as pictures. */
  maskImage: MaskInput | readonly MaskInput[];
  /** Latents [batch, 4, height / vaeScaleFactor, width / vaeScaleFactor] of the picture without its white parts, instead of encoding it. */
  maskedImageLatents?: Tensor | null;
  /** 0 to 1: how far to go back to noise. Default 1, which begins with noise alone. So much of numInferenceSteps is done. */
  strength?: number;
  /**
   * Draws what is around the white part alone, at the full size, with so many pixels on each side, and puts it back into the picture,
   * which keeps its size: for small parts of large pictures. `image` and `maskImage` are then one picture each, of one size.
   */
  paddingMaskCrop?: number | null;
}

function optionTable(): OptionTable<Required<InpaintOptions>> {
  const { guidanceRescale: _rescale, ...shared } = CALL_OPTIONS;
  const own = { image: false, maskImage: false, maskedImageLatents: true, strength: false, paddingMaskCrop: true };
  return { ...own, ...shared };
}
const INPAINT_OPTIONS = optionTable();

/** Latents of four channels, or those with a mask and the latents of the masked picture. */
const WITHOUT_MASK = 4;
const WITH_MASK = 9;

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionInpaintPipeline {
  (
    prompt: Prompt,
    options: InpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: InpaintOptions): Promise<StableDiffusionOutput>;
}

/** With a UNet that was trained for it (9 input channels), or any other one of Stable Diffusion. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionInpaintPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionInpaintPipeline";

  /**
   * Draws into pictures, where a mask is white. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await inpaint("a red star", { image, maskImage, height: 512, width: 512 });
   */
  override async call(
    prompt: Prompt = null,
    given?: InpaintOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className, device, vae, unet, vaeScaleFactor } = this;
    const {
      image,
      maskImage,
      maskedImageLatents,
      strength = 1,
      paddingMaskCrop,
      ...options
    } = takeOptions(className, given, INPAINT_OPTIONS, "warn");
    const run = this.prepareRun(options);
    const channels = unet.config.in_channels;
    if (channels !== WITHOUT_MASK && channels !== WITH_MASK)
      throw new RangeError(
        `${className}: the UNet must have ${WITHOUT_MASK} or ${WITH_MASK} input channels, got in_channels = ${channels}`,
      );
    const { height, width } = this.drawnSize(options);
    checkStrength(strength);
    checkInputs(prompt, { height, width }, options, device, INPAINT_TENSORS);
    checkImages(image, device);
    checkMasks(maskImage, device);
    checkTensor("maskedImageLatents", maskedImageLatents, ["batch", "channels", "height", "width"], device);
    const crop = paddingMaskCrop === undefined ? null : cropOf(paddingMaskCrop, image, maskImage, [width, height]);
    if (crop && !["image", "pil"].includes(options.outputType ?? "image"))
      throw new RangeError(
        `\`outputType\` must be "image" with \`paddingMaskCrop\`, got ${shown(options.outputType)}: it ends in a picture of the original size`,
      );
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels: WITHOUT_MASK };
    const fit = crop ? fitRegion(crop.region) : stretch;
    const size = [width, height] as const;
    const source = { image, mask: maskImage, maskedImageLatents, size, fit, strength };
    const { scheduler } = run;
    const { generator, latents } = options;
    const drawn = await this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => imageTimesteps(scheduler, options, strength, 1),
        latents: (batch, dtype, [timestep]) => {
          const { doClassifierFreeGuidance: guided } = this;
          const seesMask = channels === WITH_MASK;
          return inpaintLatents(encoder, source, {
            ...{ seesMask, batch, dtype, generator, latents, scheduler, timestep, guided },
          });
        },
      },
      options,
    );
    if (!crop) return drawn;
    const images = (drawn.images as RawImage[]).map((each) => overlay(each, crop.image, crop.mask, crop.region));
    return { ...drawn, images };
  }
}

/** What paddingMaskCrop works with. @throws RangeError, TypeError unless both are one picture of one size */
function cropOf(
  padding: number,
  image: unknown,
  mask: unknown,
  size: readonly [width: number, height: number],
): { image: PixelSource; mask: PixelSource; region: CropRegion } {
  if (!Number.isSafeInteger(padding) || padding < 0)
    throw new RangeError(`\`paddingMaskCrop\` must be a number of pixels, got ${shown(padding)}`);
  for (const [name, each] of Object.entries({ image, maskImage: mask }))
    if (Array.isArray(each) || each instanceof Tensor)
      throw new TypeError(`\`${name}\` must be one picture { width, height, data } with \`paddingMaskCrop\``);
  const [original, white] = [image, mask] as PixelSource[];
  if (original.width !== white.width || original.height !== white.height)
    throw new RangeError(
      `\`maskImage\` must be as large as \`image\` with \`paddingMaskCrop\`, ${original.width}x${original.height}, got ${white.width}x${white.height}`,
    );
  return { image: original, mask: white, region: cropRegion(white, size, padding) };
}
