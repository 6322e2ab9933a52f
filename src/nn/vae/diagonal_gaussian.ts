import { slice } from "../../tensor/ops/copy.js";
import { gaussianSample, linearCombination } from "../../tensor/ops/elementwise.js";
import { randnTensor, type Generator } from "../../tensor/random.js";
import { Tensor } from "../../tensor/tensor.js";

/** The distribution of a picture's latents that AutoencoderKL.encode() gives: DiagonalGaussianDistribution of diffusers' vae.py. */
export class DiagonalGaussian {
  /** [batch, latent_channels, height, width] each; logvar is clamped to [-30, 20]. */
  readonly mean: Tensor;
  readonly logvar: Tensor;

  /** @param moments [batch, 2 * latent_channels, height, width]: means, then log-variances; disposed */
  constructor(moments: Tensor) {
    const channels = moments.shape[1] / 2;
    this.mean = slice(moments, 1, 0, channels);
    this.logvar = moments.device.scope(() =>
      linearCombination([[1, slice(moments, 1, channels, channels)]], { clamp: [-30, 20] }),
    );
    moments.dispose();
  }

  /** The most likely latents: the mean. */
  mode(): Tensor {
    return this.mean;
  }

  /** mean + std * noise, noise from the generator(s) as torch draws it. */
  sample(generator?: Generator | readonly Generator[]): Tensor {
    const { device, shape, dtype } = this.mean;
    // In float16 torch draws other numbers where their count is no multiple of 16.
    const noise = randnTensor(shape, { generator, dtype: dtype === "float16" ? dtype : "float32" });
    return device.scope(() => gaussianSample(this.mean, this.logvar, Tensor.from(noise, shape, { device, dtype })));
  }

  /** Frees mean and logvar. */
  dispose(): void {
    this.mean.dispose();
    this.logvar.dispose();
  }
}
