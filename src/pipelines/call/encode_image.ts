/** Pictures to latents, as the pipelines that begin with pictures take them. */
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import { DiagonalGaussian } from "../../nn/vae/diagonal_gaussian.js";
import type { Device } from "../../tensor/device.js";
import { cast } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { randnTensor, type Generator } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { needComponent } from "../loading/needed_components.js";
import type { CallOptions } from "./check_inputs.js";
import { planned } from "./planned.js";

/** Of a pipeline. */
export interface Encoder {
  className: string;
  device: Device;
  vae: AutoencoderKL | AutoencoderTiny | null;
  vaeScaleFactor: number;
  latentChannels: number;
  /** Latents of the VAE as the UNet takes them. Default: times the config's scaling_factor. */
  scaled?: (latents: Tensor) => Tensor;
}

const LABEL = "vae encode";
const VAE = { classes: [AutoencoderKL, AutoencoderTiny], purpose: "to encode the image" };

/**
 * A draw from the VAE's posterior, scaled as the UNet takes it.
 * @param pixels [batch, 3, height, width] in [-1, 1], in the dtype that diffusers encodes in
 * @param generator one, or one for each picture
 * @returns [batch, latent channels, height / scale factor, width / scale factor], float32
 */
export function encodeImage(
  { className, vae, scaled }: Encoder,
  pixels: Tensor,
  generator: CallOptions["generator"],
): Tensor {
  needComponent(className, "vae", vae, VAE);
  const model = vae as AutoencoderKL | AutoencoderTiny;
  const wide = latentsOf(model, pixels, (posterior) =>
    posterior.sample((generator ?? undefined) as Generator | undefined),
  );
  return scaled?.(wide) ?? linearCombination([[model.config.scaling_factor, wide]]);
}

/**
 * The mode of the VAE's posterior as it is, unscaled: what UNets were trained for that see a picture beside the latents.
 * @param pixels as of encodeImage()
 * @returns as encodeImage()
 */
export function encodeMode({ className, vae }: Encoder, pixels: Tensor): Tensor {
  needComponent(className, "vae", vae, VAE);
  return latentsOf(vae as AutoencoderKL | AutoencoderTiny, pixels, (posterior) => posterior.mode());
}

/** float32, drawn in the VAE's dtype, which may be wider than that of the rest. */
function latentsOf(
  model: AutoencoderKL | AutoencoderTiny,
  pixels: Tensor,
  draw: (posterior: DiagonalGaussian) => Tensor,
): Tensor {
  const own = pixels.dtype === model.dtype ? pixels : cast(pixels, model.dtype);
  const latents =
    model instanceof AutoencoderTiny
      ? planned(own, LABEL, (x) => model.encode(x).latents)
      : draw(new DiagonalGaussian(planned(own, LABEL, (x) => model.encodeMoments(x))));
  return latents.dtype === "float32" ? latents : cast(latents, "float32");
}

/**
 * Draws what encodeImage() draws, and drops it: for pictures that diffusers encodes without looking at the result.
 * @param shape of the latents
 */
export function skipEncoding({ vae }: Encoder, shape: readonly number[], generator: CallOptions["generator"]): void {
  if (!(vae instanceof AutoencoderKL)) return;
  const source = (generator ?? undefined) as Generator | undefined;
  randnTensor(shape, { generator: source, dtype: vae.dtype === "float16" ? "float16" : "float32" });
}

/**
 * Waits for the encoder, so that the UNet takes its memory after the encoder's is free.
 * @param results disposed where that fails
 */
export async function afterEncoding(device: Device, results: readonly { dispose(): void }[]): Promise<void> {
  try {
    await device.synchronize();
    device.trim();
  } catch (error) {
    for (const each of results) each.dispose();
    throw error;
  }
}

/** Rows of x, all of them again and again until there are `batch`. */
export function repeatedTo(batch: number, x: Tensor): Tensor {
  let all = x;
  while (all.shape[0] < batch) all = concat(all, x, 0);
  return all;
}
