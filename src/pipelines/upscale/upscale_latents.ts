/** What the x4 upscaler begins with: steps 4 to 6 of diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_upscale.py. */
import type { Scheduler } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import { cast } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { repeatedTo } from "../call/encode_image.js";
import { PROMPT_GUIDANCE } from "../call/guidance.js";
import { noiseAdder } from "../call/image_latents.js";
import { checkGenerators, firstGenerators, initialNoise } from "../call/initial_noise.js";
import { prepareLatents } from "../call/prepare.js";
import { SeenPicture } from "../call/seen_picture.js";
import { bicubic, preprocess, type ImageInput } from "../images/image_processor.js";
import type { UpscaleStart } from "./upscale_call.js";

/** The picture, and how much noise it gets. */
export interface NoisyPicture {
  className: string;
  device: Device;
  image: ImageInput | readonly ImageInput[];
  /** Pixels are cut down to multiples of it. */
  scaleFactor: number;
  latentChannels: number;
  lowResScheduler: Scheduler;
  noiseLevel: number;
}

/**
 * The picture's noise is drawn first, then that of the latents, which have as many numbers along each side as it has pixels.
 * @returns latents as the first timestep wants them, and the picture's three channels
 */
export async function upscaleLatents(
  { className, device, image, scaleFactor, latentChannels, lowResScheduler, noiseLevel }: NoisyPicture,
  { batch, dtype, generator, latents: given, scheduler, guided }: UpscaleStart,
): Promise<{ latents: Tensor; channels: SeenPicture }> {
  checkGenerators(generator, batch);
  const addNoise = noiseAdder(className, lowResScheduler);
  const pictures = await preprocess(image, { scaleFactor, fit: bicubic });
  const [count, , height, width] = pictures.shape;
  const shape = [batch, latentChannels, height, width];
  const begun = device.scope(() => {
    const clean = cast(Tensor.from(pictures.values, pictures.shape, { device, dtype }), "float32");
    const first = firstGenerators(generator, count);
    const noisy = addNoise(clean, initialNoise(device, pictures.shape, { generator: first, dtype }), noiseLevel);
    const all = repeatedTo(batch, noisy);
    const latents = prepareLatents(device, shape, scheduler.initNoiseSigma, { generator, latents: given, dtype });
    return { latents, channels: guided ? concat(all, all, 0) : all };
  });
  return { latents: begun.latents, channels: new SeenPicture(PROMPT_GUIDANCE.branches, begun.channels) };
}
