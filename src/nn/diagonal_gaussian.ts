/** The VAE's posterior, DiagonalGaussianDistribution of diffusers/models/autoencoders/vae.py. */
import { gaussianSample } from "../tensor/ops/elementwise.js";
import { slice } from "../tensor/ops/copy.js";
import { randnTensor, type Generator } from "../tensor/random.js";
import { Tensor } from "../tensor/tensor.js";

export class DiagonalGaussian {
  /** [batch, latent_channels, height, width] each; logvar is not yet clamped to [-30, 20]. */
  readonly mean: Tensor;
  readonly logvar: Tensor;

  /** @param moments [batch, 2 * latent_channels, height, width]: means, then log-variances; disposed */
  constructor(moments: Tensor) {
    const channels = moments.shape[1] / 2;
    this.mean = slice(moments, 1, 0, channels);
    this.logvar = slice(moments, 1, channels, channels);
    moments.dispose();
  }

  /** The most likely latents: the mean. */
  mode(): Tensor {
    return this.mean;
  }

  /** mean + std * noise, noise from the generator(s) as torch draws it. */
  sample(generator?: Generator | readonly Generator[]): Tensor {
    const { device, shape, dtype } = this.mean;
    return device.scope(() =>
      gaussianSample(this.mean, this.logvar, Tensor.from(randnTensor(shape, { generator }), shape, { device, dtype })),
    );
  }

  dispose(): void {
    this.mean.dispose();
    this.logvar.dispose();
  }
}
