/** What the schedulers of CogVideoX share: a schedule whose signal is shifted towards the noise (Esser et al. 2024, arXiv 2403.03206). */
import { BETA_DEFAULTS, makeSchedule, type Schedule, type UsualBetaSchedule } from "./betas.js";
import type { Choice } from "./config.js";
import type { UsualPrediction } from "./prediction.js";
import { linspace64, type Spacing } from "./spacing.js";

export const COGVIDEOX_DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear" as Choice<UsualBetaSchedule>,
  clip_sample: true,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  clip_sample_range: 1.0,
  sample_max_value: 1.0,
  timestep_spacing: "leading" as Choice<Spacing>,
  rescale_betas_zero_snr: false,
  snr_shift_scale: 3.0,
};
/** Keys of a CogVideoXDDIMScheduler's or CogVideoXDPMScheduler's config, with diffusers' meaning and defaults. */
export type CogVideoXConfig = typeof COGVIDEOX_DEFAULTS;

const exact = (x: number): number => x;

/** ᾱ of the shifted schedule: in double precision for scaled_linear, else in float32, as in diffusers. */
export function cogVideoXSchedule(className: string, config: CogVideoXConfig): Schedule<Float32Array | Float64Array> {
  // The signal at the last timestep is taken from ᾱ after the shift, not from the betas before it.
  const plain = makeSchedule(className, { ...config, rescale_betas_zero_snr: false });
  const isDouble = config.beta_schedule === "scaled_linear" && !config.trained_betas;
  const round = isDouble ? exact : Math.fround;
  const { betas, alphasCumprod } = isDouble ? doubled(config) : plain;
  const scale = config.snr_shift_scale;
  let alphas = Array.from(alphasCumprod, (a) => round(a / round(scale + round(round(1 - scale) * a))));
  if (config.rescale_betas_zero_snr) {
    const roots = alphas.map((a) => round(Math.sqrt(a)));
    const [first, last] = [roots[0], roots[roots.length - 1]];
    const stretch = round(first / round(first - last));
    alphas = roots.map((root) => round(round(round(root - last) * stretch) ** 2));
  }
  return { betas, alphasCumprod: isDouble ? Float64Array.from(alphas) : Float32Array.from(alphas) };
}

function doubled({
  num_train_timesteps: n,
  beta_start: start,
  beta_end: end,
}: CogVideoXConfig): Schedule<Float64Array> {
  const betas = Float64Array.from(linspace64(Math.sqrt(start), Math.sqrt(end), n), (root) => root ** 2);
  let product = 1;
  return { betas, alphasCumprod: betas.map((beta) => (product *= 1 - beta)) };
}
