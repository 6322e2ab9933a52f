/** The end of a call: latents through the VAE to pictures. */
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { Device } from "../../tensor/device.js";
import { Plan } from "../../tensor/plan.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { FiniteCheck } from "./finite_check.js";
import { outputImages, type ImageOutputType, type Inspected } from "./output_images.js";
import type { Inspector } from "./safety.js";

/**
 * Recorded though it runs once: the largest activations are here, and planned memory is the tightest.
 * @param latents [batch, channels, height, width]; not disposed
 * @throws NumericalError where numbers are not finite; the signal's reason
 */
export async function decode(
  pipeline: { device: Device; vae: AutoencoderKL; unscaled(latents: Tensor): Tensor },
  latents: Tensor,
  outputType: ImageOutputType,
  { check, signal, inspect }: { check: FiniteCheck; signal?: AbortSignal; inspect?: Inspector | null },
): Promise<Inspected> {
  const { device, vae } = pipeline;
  await device.synchronize(); // so that the decoder takes its memory after the UNet's is free
  const scaled = pipeline.unscaled(latents);
  let plan: Plan | null = null;
  const free = (): void => {
    plan?.dispose();
    plan = null;
  };
  const look = async (pictures: Parameters<Inspector>[0]): Promise<boolean[]> => {
    free(); // so that the safety checker takes its memory after the decoder's is free
    await device.flush();
    return inspect!(pictures);
  };
  try {
    plan = Plan.attempt(device, [scaled], (z) => vae.decode(z).sample, { label: "vae decode" });
    const draw = (): Tensor => plan?.run([scaled]) ?? vae.decode(scaled).sample;
    return await outputImages(device, draw, outputType, {
      check,
      module: "vae",
      signals: [signal],
      inspect: inspect && look,
    });
  } finally {
    free();
    scaled.dispose();
  }
}
