/** What a call of a pipeline for inpainting is given, checked, and what it makes of it; whatever the prompts are. */
import { shown } from "../../arguments/shown.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkImages, processedSize, stretch, type Fit, type ImageInput } from "../images/image_processor.js";
import { cropRegion, fitRegion, type CropRegion } from "../images/mask_crop.js";
import { checkMasks, type MaskInput } from "../images/mask_processor.js";
import { overlay } from "../images/overlay.js";
import type { PixelSource } from "../images/pixels.js";
import type { RawImage } from "../images/raw_image.js";
import type { Beginning, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { OptionTable } from "./call_options.js";
import { checkInputs, checkTensor, type CallOptions } from "./check_inputs.js";
import { checkStrength } from "./image_latents.js";
import { inpaintLatents } from "./inpaint_latents.js";

/** What calls for inpainting take besides. */
export interface InpaintSources {
  /**
   * What to draw into: one picture, or as many as prompts (or a divisor of that). They get the size that is drawn, by default the
   * model's; with a ControlNet theirs, cut down to multiples of vaeScaleFactor. Tensors are not disposed.
   */
  image: ImageInput | readonly ImageInput[];
  /** White where something new is drawn, black where the picture stays; one, or as many as pictures. */
  maskImage: MaskInput | readonly MaskInput[];
  /** Latents [batch, 4, height / vaeScaleFactor, width / vaeScaleFactor] of the picture without its white parts, instead of encoding it. */
  maskedImageLatents?: Tensor | null;
  /** 0 to 1: how far to go back to noise. Default 1, which begins with noise alone; of XL 0.9999. So much of numInferenceSteps is done. */
  strength?: number;
  /**
   * Draws what is around the white part alone, at the full size, with so many pixels on each side, and puts it back into the picture,
   * which keeps its size: for small parts of large pictures. `image` and `maskImage` are then one picture each, of one size.
   */
  paddingMaskCrop?: number | null;
}

export const INPAINT_SOURCES: OptionTable<Required<InpaintSources>> = {
  image: false,
  maskImage: false,
  maskedImageLatents: true,
  strength: false,
  paddingMaskCrop: true,
};

/** Latents of four channels, or those with a mask and the latents of the masked picture. */
const WITHOUT_MASK = 4;
const WITH_MASK = 9;

export interface InpaintCall {
  /** Pixels that are drawn. */
  height: number;
  width: number;
  /** How pictures get that size. */
  fit: Fit;
  /** @param timestep whose noise is added to the picture; null where none is */
  begin: (scheduler: Scheduler, batch: number, dtype: DType, timestep: number | null) => Promise<Beginning>;
  /** Pictures drawn of a region go back into the whole. */
  finish: <Images extends RawImage[] | Tensor>(images: Images) => Images;
}

/**
 * @param how the tensors that callbacks may ask for, and what tells the size that is drawn where none is given
 * @throws RangeError, TypeError for wrong arguments, and for a UNet of other channels
 */
export function inpaintCall(
  pipeline: LatentDiffusion,
  prompt: unknown,
  options: CallOptions & WithoutNulls<InpaintSources> & { strength: number },
  { tensors, sizeFrom = "model" }: { tensors: readonly string[]; sizeFrom?: "model" | "image" },
): InpaintCall {
  const { className, device, vae, unet, vaeScaleFactor } = pipeline;
  const { image, maskImage, maskedImageLatents, strength, paddingMaskCrop, generator, latents } = options;
  const channels = unet.config.in_channels;
  if (channels !== WITHOUT_MASK && channels !== WITH_MASK)
    throw new RangeError(
      `${className}: the UNet must have ${WITHOUT_MASK} or ${WITH_MASK} input channels, got in_channels = ${channels}; ${pipeline.otherClass}`,
    );
  checkStrength(strength);
  checkImages(image, device);
  const { height, width } =
    sizeFrom === "model"
      ? pipeline.drawnSize(options)
      : { ...processedSize(image, { latentChannels: WITHOUT_MASK, scaleFactor: vaeScaleFactor }), ...sidesOf(options) };
  checkInputs(prompt, { height, width }, options, device, tensors);
  checkMasks(maskImage, device);
  checkTensor("maskedImageLatents", maskedImageLatents, ["batch", "channels", "height", "width"], device);
  const crop = paddingMaskCrop === undefined ? null : cropOf(paddingMaskCrop, image, maskImage, [width, height]);
  if (crop && !["image", "pil"].includes(options.outputType ?? "image"))
    throw new RangeError(
      `\`outputType\` must be "image" with \`paddingMaskCrop\`, got ${shown(options.outputType)}: it ends in a picture of the original size`,
    );
  const encoder = { className, device, vae, vaeScaleFactor, latentChannels: WITHOUT_MASK };
  const fit = crop ? fitRegion(crop.region) : stretch;
  const source = { image, mask: maskImage, maskedImageLatents, size: [width, height] as const, fit, strength };
  return {
    height,
    width,
    fit,
    begin: (scheduler, batch, dtype, timestep) => {
      const { doClassifierFreeGuidance: guided } = pipeline;
      const seesMask = channels === WITH_MASK;
      return inpaintLatents(encoder, source, {
        ...{ seesMask, batch, dtype, generator, latents, scheduler, timestep, guided },
      });
    },
    finish: (images) =>
      crop && Array.isArray(images)
        ? (images.map((each) => overlay(each, crop.image, crop.mask, crop.region)) as typeof images)
        : images,
  };
}

/** Those that were given. */
const sidesOf = ({ height, width }: CallOptions): { height?: number; width?: number } => ({
  ...(height !== undefined && { height }),
  ...(width !== undefined && { width }),
});

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
