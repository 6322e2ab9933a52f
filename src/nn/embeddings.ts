/** Timestep embeddings, diffusers/models/embeddings.py. */
import type { Tensor } from "../tensor/tensor.js";
import type { Activation } from "./activations.js";
import { Linear } from "./layers.js";
import { Module } from "./module.js";

const f = Math.fround;

/** The frequencies of get_timestep_embedding, rounded to float32 after each operation as torch does it. */
export function timestepFrequencies(half: number, freqShift: number): Float32Array {
  return Float32Array.from({ length: half }, (_, i) => Math.exp(f(f(f(-Math.log(10000)) * i) / f(half - freqShift))));
}

/**
 * Sinusoidal embedding of timesteps (Ho et al. 2020, get_timestep_embedding), on the CPU: a few hundred numbers.
 * Rounded to float32 after each operation as torch does it: at t = 999 a frequency that is off by one part in 10^7
 * already moves the sine by 10^-4.
 * @returns row-major [timesteps.length, dim]
 */
export function timestepEmbedding(
  timesteps: readonly number[],
  dim: number,
  { flipSinToCos, freqShift, scale = 1 }: { flipSinToCos: boolean; freqShift: number; scale?: number },
): Float32Array {
  const half = dim >> 1;
  const out = new Float32Array(timesteps.length * dim);
  timestepFrequencies(half, freqShift).forEach((frequency, i) =>
    timesteps.forEach((t, row) => {
      const angle = f(f(scale) * f(f(t) * frequency));
      const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
      out[row * dim + i] = flipSinToCos ? cos : sin;
      out[row * dim + half + i] = flipSinToCos ? sin : cos;
    }),
  );
  return out;
}

export interface TimestepEmbeddingOptions {
  /** Width of the guidance embedding of distilled models (LCM); null without. */
  condProjDim?: number | null;
  /** Between the layers, default "silu". */
  activation?: Activation;
  /** After them, default "none". */
  postActivation?: Activation;
  /** Of the result, default `width`. */
  outWidth?: number;
}

/** Two linear layers with an activation between; `cond_proj` takes the guidance embedding of distilled models (LCM). */
export class TimestepEmbedding extends Module {
  readonly linear_1: Linear;
  readonly cond_proj: Linear | null;
  readonly linear_2: Linear;
  readonly #activation: Activation;
  readonly #postActivation: Activation;

  constructor(inChannels: number, width: number, options: TimestepEmbeddingOptions = {}) {
    super();
    const { condProjDim = null, activation = "silu", postActivation = "none", outWidth = width } = options;
    this.linear_1 = new Linear(inChannels, width);
    this.cond_proj = condProjDim === null ? null : new Linear(condProjDim, inChannels, { bias: false });
    this.linear_2 = new Linear(width, outWidth);
    this.#activation = activation;
    this.#postActivation = postActivation;
  }

  /** @returns [batch, outWidth] */
  forward(projected: Tensor, condition?: Tensor): Tensor {
    return projected.device.scope(() => {
      const x = condition && this.cond_proj ? this.cond_proj.forward(condition, { residual: projected }) : projected;
      const h = this.linear_1.forward(x, { activation: this.#activation });
      return this.linear_2.forward(h, { activation: this.#postActivation });
    });
  }
}

/**
 * Embedding of guidance scales for distilled models (LCM), get_guidance_scale_embedding of
 * pipelines/stable_diffusion/pipeline_stable_diffusion.py: sines, then cosines, of 1000 * w.
 * @returns row-major [w.length, dim]
 */
export function guidanceScaleEmbedding(w: readonly number[], dim: number): Float32Array {
  const half = dim >> 1;
  const out = new Float32Array(w.length * dim);
  const exponent = f(f(Math.log(10000)) / (half - 1));
  for (let i = 0; i < half; i++) {
    const frequency = f(Math.exp(f(i * -exponent)));
    w.forEach((value, row) => {
      const angle = f(f(f(value) * 1000) * frequency);
      out[row * dim + i] = Math.sin(angle);
      out[row * dim + half + i] = Math.cos(angle);
    });
  }
  return out;
}
