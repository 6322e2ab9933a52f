/** What a call of an InstructPix2Pix pipeline is given, checked, and what it begins with; whatever the prompts are. */
import type { WithoutNulls } from "../../arguments/spelling.js";
import type { Scheduler } from "../../schedulers/index.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { DType } from "../../tensor/dtype.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import type { OptionTable } from "../call/call_options.js";
import { checkFinite, checkTensor, type CallOptions } from "../call/check_inputs.js";
import { afterEncoding, encodeMode, repeatedTo } from "../call/encode_image.js";
import { EDIT_GUIDANCE } from "../call/guidance.js";
import { prepareLatents } from "../call/prepare.js";
import { SeenPicture } from "../call/seen_picture.js";
import { checkImages, preprocess, type ImageInput } from "../images/image_processor.js";
import type { Beginning, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";

/** What calls that edit pictures take besides. */
export interface EditSources {
  /** The picture to edit, or as many as prompts (or a divisor of that). Tensors are not disposed. */
  image: ImageInput | readonly ImageInput[];
  /** How near to the picture the result stays. Default 1.5; below 1 nothing is guided, as with a guidanceScale up to 1. */
  imageGuidanceScale?: number;
}

export const EDIT_SOURCES: OptionTable<Required<EditSources>> = { image: false, imageGuidanceScale: false };

/** The options of a call as takeOptions() gives them. */
export type EditCallOptions = CallOptions & WithoutNulls<EditSources>;

/** How pictures become what the UNet takes. */
interface EditHow {
  /** Pixels that pictures get; by default theirs, cut down to multiples of vaeScaleFactor. */
  size?: readonly [width: number, height: number];
  /** Times what their latents are. Default 1: unscaled. */
  factor?: number;
}

/** @throws RangeError, TypeError for wrong arguments, and for a UNet that takes no picture */
export function checkEdit(pipeline: LatentDiffusion, options: EditCallOptions): void {
  const { className, device, unet } = pipeline;
  const { in_channels: takes, out_channels: channels } = unet.config;
  if (takes !== 2 * channels)
    throw new RangeError(
      `${className}: the UNet must take the picture's latents beside those that it draws, ${2 * channels} channels (in_channels), ` +
        `got ${takes}; ${pipeline.otherClass}`,
    );
  checkImages(options.image, device);
  checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
  checkGeneratorTypes(options.generator);
  if (options.imageGuidanceScale !== undefined) checkFinite("imageGuidanceScale", options.imageGuidanceScale);
}

/**
 * @param options checked by checkEdit()
 * @param batch pictures that are drawn
 * @throws RangeError where the pictures, or the latents, do not go into the batch
 */
export async function beginEdit(
  pipeline: LatentDiffusion,
  { image, generator, latents: given }: EditCallOptions,
  { size, factor = 1, scheduler, batch, dtype }: EditHow & { scheduler: Scheduler; batch: number; dtype: DType },
): Promise<Beginning> {
  const { className, device, vae, unet, vaeScaleFactor: scaleFactor, doClassifierFreeGuidance: guided } = pipeline;
  const latentChannels = unet.config.out_channels;
  const encoder = { className, device, vae, vaeScaleFactor: scaleFactor, latentChannels };
  const pictures = await preprocess(image, { scaleFactor, latentChannels, size });
  const [count, of, ...sides] = pictures.shape;
  if (batch % count !== 0)
    throw new RangeError(`Cannot duplicate \`image\` of batch size ${count} to ${batch} text prompts.`);
  const isLatents = of === latentChannels;
  const inLatents = (pixels: number): number => Math.floor(pixels / scaleFactor);
  const drawn = isLatents && !size ? sides : (size ? [size[1], size[0]] : sides).map(inLatents);
  const shape = [batch, latentChannels, ...drawn];
  if (isLatents && sides.join() !== drawn.join())
    throw new RangeError(
      `\`image\` must be [${shape.join(", ")}] for these prompts and this size, got [${pictures.shape.join(", ")}]`,
    );
  const begun = device.scope(() => {
    const latents = prepareLatents(device, shape, scheduler.initNoiseSigma, { generator, latents: given, dtype });
    const start = Tensor.from(pictures.values, pictures.shape, { device, dtype: isLatents ? "float32" : dtype });
    const seen = repeatedTo(batch, isLatents ? start : encodeMode(encoder, start));
    const times = (k: number): Tensor => linearCombination([[k, seen]]);
    if (!guided) return { latents, imageLatents: times(factor) };
    // The branches of EDIT_GUIDANCE: the last one draws without the picture.
    const [picture, nothing] = [times(factor), times(0)];
    return { latents, imageLatents: concat(concat(picture, picture, 0), nothing, 0) };
  });
  const channels = new SeenPicture(EDIT_GUIDANCE.branches, begun.imageLatents, "image_latents");
  await afterEncoding(device, [begun.latents, channels]);
  return { latents: begun.latents, channels };
}
