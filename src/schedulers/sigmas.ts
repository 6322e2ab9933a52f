/** Tables of noise levels: from the training schedule, and the other shapes that configs can ask for. */
import { betaQuantile } from "./beta_distribution.js";
import { linspace64 } from "./spacing.js";

const f32 = Math.fround;

/** σ = √((1 - ᾱ) / ᾱ), ascending over the training timesteps, in torch's float32. */
export const sigmasOf = (alphasCumprod: Float32Array): Float32Array =>
  alphasCumprod.map((alpha) => Math.sqrt(f32(f32(1 - alpha) / alpha)));

/** numpy.interp of a table at fractional indices, constant outside. */
export function interpolate(table: ArrayLike<number>, index: number): number {
  const last = table.length - 1;
  if (!(index > 0)) return table[0];
  if (index >= last) return table[last];
  const low = Math.floor(index);
  return (table[low + 1] - table[low]) * (index - low) + table[low];
}

/**
 * numpy's logarithm of a float32, operation by operation: a Padé approximation whose last digit differs from the nearest
 * float's in every tenth case. Timesteps are cut to integers after it, so that digit decides between 498 and 499.
 */
export function logFloat32(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0];
  let exponent = (bits >>> 23) - 126;
  let mantissa = new Float32Array(Uint32Array.of((bits & 0x7fffff) | 0x3f000000).buffer)[0];
  if (mantissa < LOG_HALF_ROOT) {
    mantissa *= 2;
    exponent--;
  }
  const y = f32(mantissa - 1);
  const horner = (polynomial: Float32Array): number => polynomial.reduceRight((sum, c) => f32(sum * y + c));
  return f32(exponent * f32(Math.LN2) + f32(horner(LOG_P) / horner(LOG_Q)));
}
const LOG_HALF_ROOT = f32(Math.SQRT1_2);
const LOG_P = Float32Array.of(0, 1, 2.112677543073053, 1.4800006335765066, 0.38088377413884078, 0.025899791179079227);
const LOG_Q = Float32Array.of(
  1,
  2.612677543073109,
  2.4530060717847364,
  0.9864942958519418,
  0.15464763749839067,
  0.0058750954031245743,
);

/**
 * The fractional training timestep whose noise level is `sigma`: linear in log σ, within the table.
 * @param options `single`: computes in float32, as diffusers does where the levels are float32
 */
export function sigmaToTimestep(sigma: number, logSigmas: Float32Array, { single = false } = {}): number {
  const round = single ? f32 : (x: number): number => x;
  const log = single ? logFloat32(Math.max(f32(sigma), f32(1e-10))) : Math.log(Math.max(sigma, 1e-10));
  // numpy's `cumsum(dists >= 0).argmax()` is the last index whose level is not above sigma. The table ascends, but for the
  // last level with rescale_betas_zero_snr, which may be below those before it.
  let low = 0;
  for (let i = 1; i < logSigmas.length; i++) if (log >= logSigmas[i]) low = i;
  low = Math.min(low, logSigmas.length - 2);
  const [a, b] = [logSigmas[low], logSigmas[low + 1]];
  const weight = Math.min(1, Math.max(0, round(round(a - log) / f32(a - b))));
  return (1 - weight) * low + weight * (low + 1);
}

/** Levels of Karras et al. 2022 (arXiv 2206.00364), formula (5), descending. */
function karrasSigmas(max: number, min: number, n: number, rho = 7): number[] {
  const [a, b] = [max ** (1 / rho), min ** (1 / rho)];
  return linspace64(0, 1, n).map((ramp) => (a + ramp * (b - a)) ** rho);
}

/** Levels evenly spaced in log σ, descending. */
const exponentialSigmas = (max: number, min: number, n: number): number[] =>
  linspace64(Math.log(max), Math.log(min), n).map(Math.exp);

/** Levels at the quantiles of a beta distribution (Lee et al. 2024, "Beta Sampling is All You Need"), descending. */
const betaSigmas = (max: number, min: number, n: number, alpha = 0.6, beta = 0.6): number[] =>
  linspace64(0, 1, n).map((ramp) => min + betaQuantile(1 - ramp, alpha, beta) * (max - min));

export interface SigmaShapeConfig {
  readonly use_karras_sigmas?: boolean | null;
  readonly use_exponential_sigmas?: boolean | null;
  readonly use_beta_sigmas?: boolean | null;
  readonly sigma_min?: unknown;
  readonly sigma_max?: unknown;
}
export type SigmaShape = "karras" | "exponential" | "beta";

/** Which shape a config asks for. @throws Error if it asks for more than one */
export function sigmaShape(className: string, config: SigmaShapeConfig): SigmaShape | null {
  const wanted = (["karras", "exponential", "beta"] as const).filter((shape) => config[`use_${shape}_sigmas`]);
  if (wanted.length > 1)
    throw new RangeError(
      `${className}: only one of use_beta_sigmas, use_exponential_sigmas, use_karras_sigmas can be used, got ` +
        wanted.map((shape) => `use_${shape}_sigmas`).join(" and "),
    );
  return wanted[0] ?? null;
}

/**
 * Levels of a shape between the ends of `sigmas`, or `sigma_max` and `sigma_min` of the config (also where they are hidden
 * keys of another class, as in diffusers).
 * @param sigmas descending
 */
export function shapedSigmas(
  shape: SigmaShape,
  config: SigmaShapeConfig,
  sigmas: ArrayLike<number>,
  n: number,
): number[] {
  const max = typeof config.sigma_max === "number" ? config.sigma_max : sigmas[0];
  const min = typeof config.sigma_min === "number" ? config.sigma_min : sigmas[sigmas.length - 1];
  return { karras: karrasSigmas, exponential: exponentialSigmas, beta: betaSigmas }[shape](max, min, n);
}
