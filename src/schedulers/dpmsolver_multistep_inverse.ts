import { roundHalfEven } from "../tensor/round.js";
import { checkScheduleOptions, checkSteps } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { DPM_DEFAULTS } from "./dpm_scheduler.js";
import { DPMMultistep } from "./dpm_multistep.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions } from "./scheduler.js";
import { arange64, linspace64, SPACINGS, type Spacing } from "./spacing.js";

const defaults = {
  ...DPM_DEFAULTS,
  euler_at_final: false,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a DPMSolverMultistepInverseScheduler's config, with diffusers' meaning and defaults. */
export type DPMSolverMultistepInverseConfig = typeof defaults;

/** DPM-Solver++ from a picture to its noise (Lu et al. 2022, arXiv 2211.01095). diffusers: scheduling_dpmsolver_multistep_inverse.py */
export class DPMSolverMultistepInverseScheduler extends DPMMultistep<DPMSolverMultistepInverseConfig> {
  static override readonly className: string = "DPMSolverMultistepInverseScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;

  constructor(options: Partial<DPMSolverMultistepInverseConfig> = {}) {
    super(options);
    this.timesteps.reverse();
  }

  protected get endsAtZero(): boolean {
    return false;
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    checkScheduleOptions(className, DPMSolverMultistepInverseScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const length = this.clippedLength(config.lambda_min_clipped);
    const { times, levels } = this.#schedule(n, length);
    const plain = !this.shaped(n) && !config.use_flow_sigmas;
    // Repeated timesteps are dropped, their levels are not: so does diffusers.
    const unique = [...new Set(times.map(plain || config.use_karras_sigmas ? Math.trunc : (t) => t))];
    this.begin(unique, [...levels, plain ? this.table[length - 1] : levels[levels.length - 1]]);
  }

  #schedule(n: number, length: number): { times: number[]; levels: number[] } {
    const { config } = this;
    const shaped = this.shaped(n, this.table);
    if (shaped) return config.use_karras_sigmas ? { ...shaped, times: shaped.times.map(roundHalfEven) } : shaped;
    if (config.use_flow_sigmas) return this.flow(n, config.flow_shift);
    const times = this.#spaced(n, length);
    return { times, levels: this.levelsAt(times) };
  }

  /** Whole timesteps in ascending order. */
  #spaced(n: number, length: number): number[] {
    const { timestep_spacing: spacing, num_train_timesteps: train, steps_offset: offset } = this.config;
    switch (oneOf(this.className, "timestep_spacing", spacing, SPACINGS)) {
      case "linspace":
        return linspace64(0, length - 1, n + 1)
          .map(roundHalfEven)
          .slice(0, -1);
      case "leading":
        return Array.from({ length: n }, (_, i) => i * Math.floor(length / (n + 1)) + offset);
      case "trailing":
        return arange64(length, 0, -train / n)
          .map((x) => roundHalfEven(x) - 1)
          .reverse();
    }
  }
}
