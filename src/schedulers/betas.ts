/** Noise schedules of training: the variances added per step, in the float32 arithmetic of torch. */
import { shown } from "../arguments/shown.js";
import { checkTrainTimesteps } from "./checks.js";
import { oneOf, type Choice } from "./config.js";

const f32 = Math.fround;

export const BETA_DEFAULTS = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "linear" as Choice<UsualBetaSchedule>,
  trained_betas: null as readonly number[] | null,
};
export type BetaConfig = typeof BETA_DEFAULTS;

/** What a schedule is made from; some classes fix its ends and its kind. */
export interface ScheduleConfig {
  readonly num_train_timesteps: number;
  readonly beta_schedule: string;
  readonly beta_start?: number;
  readonly beta_end?: number;
  readonly trained_betas?: readonly number[] | null;
  readonly rescale_betas_zero_snr?: boolean;
}

export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2" | "laplace" | "sigmoid" | "exp";
const USUAL = ["linear", "scaled_linear", "squaredcos_cap_v2"] as const;
export type UsualBetaSchedule = (typeof USUAL)[number];

/** βₜ and ᾱₜ = Π (1 - βₛ), float32 but for classes whose own are of double precision. */
export interface Schedule<Numbers = Float32Array> {
  betas: Numbers;
  alphasCumprod: Numbers;
}

/**
 * @param known the values of `beta_schedule` that the class has
 * @throws RangeError for another one, or an impossible number of steps
 */
export function makeSchedule(
  className: string,
  config: ScheduleConfig,
  known: readonly BetaSchedule[] = USUAL,
): Schedule {
  checkTrainTimesteps(className, config.num_train_timesteps);
  const trained: unknown = config.trained_betas;
  if (
    trained &&
    !(Array.isArray(trained) && trained.length <= 1e6 && trained.every((beta) => typeof beta === "number"))
  )
    throw new RangeError(`${className}: trained_betas must be a list of numbers, got ${shown(trained)}`);
  let betas = config.trained_betas ? Float32Array.from(config.trained_betas) : makeBetas(className, config, known);
  if (config.rescale_betas_zero_snr) betas = rescaleZeroTerminalSNR(betas);
  return { betas, alphasCumprod: cumprod(betas.map((beta) => 1 - beta)) };
}

function makeBetas(className: string, config: ScheduleConfig, known: readonly BetaSchedule[]): Float32Array {
  const { num_train_timesteps: n, beta_start: start = 0, beta_end: end = 0 } = config;
  switch (oneOf(className, "beta_schedule", config.beta_schedule, known)) {
    case "linear":
      return linspace(start, end, n);
    case "scaled_linear":
      return linspace(Math.sqrt(start), Math.sqrt(end), n).map((x) => x * x);
    case "squaredcos_cap_v2":
      return betasForAlphaBar(n, (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2);
    case "laplace":
      return betasForAlphaBar(n, laplaceAlphaBar);
    case "exp":
      return betasForAlphaBar(n, (t) => Math.exp(t * -12));
    case "sigmoid": // GeoDiff
      return linspace(-6, 6, n).map((x) => f32(f32(1 / (1 + Math.exp(-x))) * f32(end - start)) + f32(start));
  }
}

function laplaceAlphaBar(t: number): number {
  const sign = 0.5 - t < 0 || Object.is(0.5 - t, -0) ? -1 : 1;
  const snr = Math.exp(-0.5 * sign * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6));
  return Math.sqrt(snr / (1 + snr));
}

/** βₜ = 1 - ᾱ((t+1)/T) / ᾱ(t/T), at most 0.999 (Nichol & Dhariwal 2021). */
function betasForAlphaBar(n: number, alphaBar: (t: number) => number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => Math.min(1 - alphaBar((i + 1) / n) / alphaBar(i / n), 0.999));
}

/** torch.linspace in float32: counted from the nearer end, each value rounded once. */
export function linspace(from: number, to: number, n: number): Float32Array {
  const [a, b] = [f32(from), f32(to)];
  const step = n > 1 ? f32(f32(b - a) / (n - 1)) : 0;
  return Float32Array.from({ length: n }, (_, i) =>
    i < Math.floor(n / 2) || n === 1 ? a + step * i : b - step * (n - 1 - i),
  );
}

/** torch.cumprod in float32, which accumulates in double. */
function cumprod(x: Float32Array): Float32Array {
  let product = 1;
  return x.map((value) => (product *= value));
}

/** Shifts ᾱ so that the last step is pure noise (Lin et al. 2023, "Common Diffusion Noise Schedules…", algorithm 1). */
function rescaleZeroTerminalSNR(betas: Float32Array): Float32Array {
  const root = cumprod(betas.map((beta) => 1 - beta)).map(Math.sqrt);
  const [first, last] = [root[0], root[root.length - 1]];
  const scale = f32(first / f32(first - last));
  const alphaBar = root.map((x) => f32(f32(x - last) * scale)).map((x) => x * x);
  return alphaBar.map((x, i) => 1 - (i === 0 ? x : f32(x / alphaBar[i - 1])));
}
