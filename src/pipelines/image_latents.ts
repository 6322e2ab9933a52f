/** The latents that image to image begins with, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py. */
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { AutoencoderTiny } from "../nn/autoencoder_tiny.js";
import { DiagonalGaussian } from "../nn/diagonal_gaussian.js";
import type { Scheduler } from "../schedulers/index.js";
import type { Device } from "../tensor/device.js";
import type { DType } from "../tensor/dtype.js";
import { cast } from "../tensor/ops/copy.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import { concat } from "../tensor/ops/shape.js";
import { Plan } from "../tensor/plan.js";
import type { Generator } from "../tensor/random.js";
import { Tensor } from "../tensor/tensor.js";
import type { CallOptions } from "./check_inputs.js";
import { preprocess, type ImageInput, type Preprocessed } from "./image_processor.js";
import { checkGenerators, initialNoise } from "./initial_noise.js";
import { needComponent } from "./needed_components.js";
import { prepareTimesteps } from "./prepare.js";

const VAE = { classes: [AutoencoderKL, AutoencoderTiny], purpose: "to encode the image" };

/**
 * The last part of a schedule: `strength` of all steps. Where the scheduler counts steps it is told where this begins.
 * @throws RangeError where no step is left
 */
export function imageTimesteps(scheduler: Scheduler, options: CallOptions, strength: number): readonly number[] {
  const all = prepareTimesteps(scheduler, options);
  const steps = options.timesteps || options.sigmas ? all.length : (options.numInferenceSteps ?? 50);
  const begin = Math.max(0, steps - Math.trunc(steps * strength)) * scheduler.order;
  const timesteps = all.slice(begin);
  if (timesteps.length === 0)
    throw new RangeError(
      `After adjusting the ${steps} inference steps by \`strength\` ${strength} no step is left; give more of one of them`,
    );
  if ("setBeginIndex" in scheduler) (scheduler.setBeginIndex as (index: number) => void)(begin);
  return timesteps;
}

interface Encoder {
  className: string;
  device: Device;
  vae: AutoencoderKL | AutoencoderTiny | null;
  vaeScaleFactor: number;
  latentChannels: number;
}

/** What a run gives: pictures, its noise, and for which timestep. */
interface Wanted {
  batch: number;
  /** In which pictures are encoded and noise is drawn. */
  dtype: DType;
  generator: CallOptions["generator"];
  scheduler: Scheduler;
  timestep: number;
}

/**
 * @returns the image's latents under the noise of the timestep, [batch, latent channels, height, width], float32
 * @throws RangeError where the pictures do not go into the batch
 */
export async function imageLatents(
  encoder: Encoder,
  image: ImageInput | readonly ImageInput[],
  { batch, dtype, generator, scheduler, timestep }: Wanted,
): Promise<Tensor> {
  const { className, device, latentChannels, vaeScaleFactor: scaleFactor } = encoder;
  checkGenerators(generator, batch);
  if (!("addNoise" in scheduler))
    throw new TypeError(`${className}: a ${scheduler.className} cannot add noise to a picture; take another scheduler`);
  const given = await preprocess(image, { scaleFactor, latentChannels });
  const count = given.shape[0];
  if (batch % count !== 0)
    throw new RangeError(`Cannot duplicate \`image\` of batch size ${count} to ${batch} text prompts.`);
  const isLatents = given.shape[1] === latentChannels;
  // A list of generators has one for each picture of the batch.
  const pictures = Array.isArray(generator) && !isLatents ? repeated(given, batch / count) : given;
  const latents = device.scope(() => {
    const start = Tensor.from(pictures.values, pictures.shape, { device, dtype: isLatents ? "float32" : dtype });
    const clean = isLatents ? start : encode(encoder, start, generator);
    let all = clean;
    while (all.shape[0] < batch) all = concat(all, clean, 0);
    const noise = initialNoise(device, all.shape, { generator, dtype });
    return (scheduler.addNoise as (x: Tensor, noise: Tensor, timestep: number) => Tensor)(all, noise, timestep);
  });
  try {
    await device.synchronize(); // so that the UNet takes its memory after the encoder's is free
    device.trim();
    return latents;
  } catch (error) {
    latents.dispose();
    throw error;
  }
}

/** A draw from the VAE's posterior, scaled as the UNet takes it, float32. */
function encode({ className, vae }: Encoder, pixels: Tensor, generator: CallOptions["generator"]): Tensor {
  needComponent(className, "vae", vae, VAE);
  const model = vae as AutoencoderKL | AutoencoderTiny;
  const latents =
    model instanceof AutoencoderTiny
      ? planned(pixels, (x) => model.encode(x).latents)
      : new DiagonalGaussian(planned(pixels, (x) => model.encodeMoments(x))).sample(
          (generator ?? undefined) as Generator | undefined,
        );
  const wide = latents.dtype === "float32" ? latents : cast(latents, "float32");
  return linearCombination([[model.config.scaling_factor, wide]]);
}

/** Recorded though it runs once, as decoding is: planned memory is less than half of what the encoder takes op by op. */
function planned(pixels: Tensor, work: (x: Tensor) => Tensor): Tensor {
  const plan = Plan.attempt(pixels.device, [pixels], work, { label: "vae encode" });
  if (!plan) return work(pixels);
  try {
    return plan.run([pixels], { copy: true });
  } finally {
    plan.dispose();
  }
}

function repeated({ values, shape: [count, ...rest] }: Preprocessed, times: number): Preprocessed {
  const all = new Float32Array(values.length * times);
  for (let i = 0; i < times; i++) all.set(values, i * values.length);
  return { values: all, shape: [count * times, ...rest] };
}
