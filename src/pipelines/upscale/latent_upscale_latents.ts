/** What the latent upscaler begins with: steps 4 to 6 of diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_latent_upscale.py. */
import { concat, upsampleNearest } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { afterEncoding, encodeImage, type Encoder } from "../call/encode_image.js";
import { PROMPT_GUIDANCE } from "../call/guidance.js";
import { checkGenerators } from "../call/initial_noise.js";
import { prepareLatents } from "../call/prepare.js";
import { SeenPicture } from "../call/seen_picture.js";
import { bicubic, preprocess, type ImageInput } from "../images/image_processor.js";
import type { UpscaleStart } from "./upscale_call.js";

/**
 * @param image pictures, which are encoded, or latents
 * @returns latents as the first timestep wants them, of twice the size of the image's, and the latter as channels
 */
export async function latentUpscaleLatents(
  encoder: Encoder,
  image: ImageInput | readonly ImageInput[],
  { batch, dtype, generator, latents: given, scheduler, guided }: UpscaleStart,
): Promise<{ latents: Tensor; channels: SeenPicture }> {
  const { device, latentChannels, vaeScaleFactor: scaleFactor } = encoder;
  checkGenerators(generator, batch);
  const pictures = await preprocess(image, { scaleFactor, latentChannels, fit: bicubic });
  const isLatents = pictures.shape[1] === latentChannels;
  const begun = device.scope(() => {
    const start = Tensor.from(pictures.values, pictures.shape, { device, dtype: isLatents ? "float32" : dtype });
    const all = doubled(isLatents ? start : encodeImage(encoder, start, generator));
    const latents = prepareLatents(device, all.shape, scheduler.initNoiseSigma, { generator, latents: given, dtype });
    return { latents, channels: guided ? concat(all, all, 0) : all };
  });
  const channels = new SeenPicture(PROMPT_GUIDANCE.branches, begun.channels);
  await afterEncoding(device, [begun.latents, channels]);
  return { latents: begun.latents, channels };
}

/** [batch, channels, height, width], each number four times. */
function doubled(x: Tensor): Tensor {
  const [batch, channels, height, width] = x.shape;
  const planes = x.reshape([batch * channels, height, width, 1]);
  return upsampleNearest(planes, [2 * height, 2 * width]).reshapeOwned([batch, channels, 2 * height, 2 * width]);
}
