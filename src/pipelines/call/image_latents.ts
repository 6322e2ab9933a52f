/** The latents that image to image begins with, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py. */
import { shown } from "../../arguments/shown.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { cast } from "../../tensor/ops/copy.js";
import { Tensor } from "../../tensor/tensor.js";
import { preprocess, type ImageInput } from "../images/image_processor.js";
import { repeated } from "../images/planes.js";
import type { CallOptions } from "./check_inputs.js";
import { afterEncoding, encodeImage, repeatedTo, type Encoder } from "./encode_image.js";
import { checkGenerators, initialNoise } from "./initial_noise.js";
import { beginAt, prepareTimesteps } from "./prepare.js";

/** @throws RangeError */
export function checkStrength(strength: unknown): asserts strength is number {
  if (typeof strength !== "number" || !(strength >= 0 && strength <= 1))
    throw new RangeError(`\`strength\` must be from 0 to 1, got ${shown(strength)}`);
}

/**
 * The last part of a schedule: `strength` of all steps. Where the scheduler counts steps it is told where this begins.
 * @param least of the steps asked for that must be left: of some schedulers' schedules, which are longer, more is left
 * @throws RangeError where no step is left
 */
export function imageTimesteps(
  scheduler: Scheduler,
  options: CallOptions,
  strength: number,
  least = 0,
): readonly number[] {
  const all = prepareTimesteps(scheduler, options);
  const steps = options.timesteps || options.sigmas ? all.length : (options.numInferenceSteps ?? 50);
  const left = Math.trunc(steps * strength);
  const begin = Math.max(0, steps - left) * scheduler.order;
  const timesteps = all.slice(begin);
  if (timesteps.length === 0 || left < least)
    throw new RangeError(
      `After adjusting the ${steps} inference steps by \`strength\` ${strength} no step is left; give more of one of them`,
    );
  beginAt(scheduler, begin);
  return timesteps;
}

export type AddNoise = (x: Tensor, noise: Tensor, timestep: number) => Tensor;

/** @throws TypeError for a scheduler that has no way to begin with a picture */
export function noiseAdder(className: string, scheduler: Scheduler): AddNoise {
  if (!("addNoise" in scheduler))
    throw new TypeError(`${className}: a ${scheduler.className} cannot add noise to a picture; take another scheduler`);
  return (x, noise, timestep) => (scheduler as unknown as { addNoise: AddNoise }).addNoise(x, noise, timestep);
}

/** What a run gives: pictures, its noise, and for which timestep; null where none is added. */
interface Wanted {
  batch: number;
  /** In which pictures are encoded and noise is drawn. */
  dtype: DType;
  generator: CallOptions["generator"];
  scheduler: Scheduler;
  timestep: number | null;
  /** Pixels that pictures get; by default theirs, cut down to multiples of the scale factor. */
  size?: readonly [width: number, height: number];
}

/**
 * @returns the image's latents under the noise of the timestep, if any, [batch, latent channels, height, width], float32
 * @throws RangeError where the pictures do not go into the batch
 */
export async function imageLatents(
  encoder: Encoder,
  image: ImageInput | readonly ImageInput[],
  { batch, dtype, generator, scheduler, timestep, size }: Wanted,
): Promise<Tensor> {
  const { className, device, latentChannels, vaeScaleFactor: scaleFactor } = encoder;
  checkGenerators(generator, batch);
  const addNoise = timestep === null ? null : noiseAdder(className, scheduler);
  const given = await preprocess(image, { scaleFactor, latentChannels, size });
  const count = given.shape[0];
  if (batch % count !== 0)
    throw new RangeError(`Cannot duplicate \`image\` of batch size ${count} to ${batch} text prompts.`);
  const isLatents = given.shape[1] === latentChannels;
  // A list of generators has one for each picture of the batch.
  const pictures = Array.isArray(generator) && !isLatents ? repeated(given, batch / count) : given;
  const latents = device.scope(() => {
    const start = Tensor.from(pictures.values, pictures.shape, { device, dtype: isLatents ? "float32" : dtype });
    const all = repeatedTo(batch, isLatents ? start : encodeImage(encoder, start, generator));
    if (!addNoise) return all;
    const noise = initialNoise(device, all.shape, { generator, dtype });
    return addNoise(all, noise, timestep!);
  });
  await afterEncoding(device, [latents]);
  return latents;
}

/**
 * Latents that a call was given to begin with as they are.
 * @throws RangeError for another batch, or other channels
 */
export function givenLatents(latents: Tensor, batch: number, channels: number): Tensor {
  if (latents.shape[0] === batch && latents.shape[1] === channels) return cast(latents, "float32");
  throw new RangeError(
    `\`latents\` must be [${batch}, ${channels}, height, width] for these prompts, got [${latents.shape.join(", ")}]`,
  );
}
