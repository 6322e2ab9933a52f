/** Which training timesteps a run visits: the `timestep_spacing` of Lin et al. 2023, table 2. */
import { roundHalfEven } from "../tensor/round.js";
import { oneOf } from "./config.js";

export const SPACINGS = ["linspace", "leading", "trailing"] as const;
/** Which training timesteps a run visits (Lin et al. 2023, arXiv 2305.08891, table 2). A config's `timestep_spacing`. */
export type Spacing = (typeof SPACINGS)[number];

/** numpy.linspace in double precision. */
export function linspace64(from: number, to: number, n: number): number[] {
  const step = (to - from) / (n - 1);
  return Array.from({ length: n }, (_, i) => (i === n - 1 && n > 1 ? to : i === 0 ? from : i * step + from));
}

/** numpy.arange in double precision, whose step is the difference of its first two values. */
export function arange64(from: number, to: number, step: number): number[] {
  const delta = from + step - from;
  return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * delta);
}

export interface SpacingConfig {
  readonly num_train_timesteps: number;
  readonly timestep_spacing: string;
  readonly steps_offset: number;
}

export interface SpacingOptions {
  /** False keeps the fractions of `linspace`, as schedulers do that interpolate sigmas: in float32, or `exact`. */
  rounded?: boolean;
  exact?: boolean;
  /** Where `trailing` begins, if not at the end of the training timesteps. */
  last?: number;
  /** The values of `timestep_spacing` that the class has. */
  known?: readonly Spacing[];
}

/** Timesteps in descending order. */
export function spacedTimesteps(
  className: string,
  { num_train_timesteps: train, timestep_spacing: spacing, steps_offset: offset }: SpacingConfig,
  n: number,
  { rounded = true, exact = false, known = SPACINGS, last = train }: SpacingOptions = {},
): number[] {
  switch (oneOf(className, "timestep_spacing", spacing, known)) {
    case "linspace": {
      const values = linspace64(0, train - 1, n).reverse();
      return rounded ? values.map(roundHalfEven) : exact ? values : values.map(Math.fround);
    }
    case "leading": {
      const ratio = Math.floor(train / n);
      return Array.from({ length: n }, (_, i) => (n - 1 - i) * ratio + offset);
    }
    case "trailing":
      return arange64(last, 0, -train / n).map((x) => roundHalfEven(x) - 1);
  }
}

/**
 * n whole timesteps without the last one of n + 1, as the exponential integrators space them.
 * @param last where they end, if not at the end of the training timesteps
 */
export function spacedBelow(
  className: string,
  config: SpacingConfig,
  n: number,
  last = config.num_train_timesteps,
): number[] {
  const bounded = { ...config, num_train_timesteps: last };
  if (config.timestep_spacing !== "trailing") return spacedTimesteps(className, bounded, n + 1).slice(0, -1);
  // The stride is that of all training timesteps, also where the noisiest ones are clipped away.
  return spacedTimesteps(className, config, n, { last });
}
