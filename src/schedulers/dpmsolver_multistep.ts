import { roundHalfEven } from "../tensor/round.js";
import { checkScheduleOptions, countSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { DPM_DEFAULTS } from "./dpm_scheduler.js";
import { DPMMultistep } from "./dpm_multistep.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions } from "./scheduler.js";
import { sigmaShape, sigmaToTimestep } from "./sigmas.js";
import { linspace64, type Spacing } from "./spacing.js";

const defaults = {
  ...DPM_DEFAULTS,
  euler_at_final: false,
  use_lu_lambdas: false,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
  rescale_betas_zero_snr: false,
  use_dynamic_shifting: false,
  time_shift_type: "exponential" as Choice<"exponential" | "linear">,
};
/** Keys of a DPMSolverMultistepScheduler's config, with diffusers' meaning and defaults. */
export type DPMSolverMultistepConfig = typeof defaults;

/** DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv 2211.01095). diffusers: scheduling_dpmsolver_multistep.py */
export class DPMSolverMultistepScheduler extends DPMMultistep<DPMSolverMultistepConfig> {
  static override readonly className: string = "DPMSolverMultistepScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps", "mu"] as const;
  protected override readonly noiseDType = "float32";

  constructor(options: Partial<DPMSolverMultistepConfig> = {}) {
    super(options);
  }

  protected get endsAtZero(): boolean {
    return this.config.final_sigmas_type === "zero";
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className } = this;
    options = checkScheduleOptions(className, DPMSolverMultistepScheduler.customSchedules, options);
    const { timesteps, mu } = options;
    const n = countSteps(this, numInferenceSteps, timesteps);
    const shift = this.shiftFor(mu);
    const { times, levels } = timesteps ? this.#custom(timesteps) : this.#spaced(n, shift);
    this.begin(times, [...levels, this.finalLevel]);
  }

  #custom(timesteps: readonly number[]): { times: number[]; levels: number[] } {
    const { className, config } = this;
    const shape = sigmaShape(className, config);
    const clash = shape
      ? `use_${shape}_sigmas`
      : config.use_lu_lambdas
        ? "use_lu_lambdas"
        : config.use_flow_sigmas
          ? "use_flow_sigmas"
          : null;
    if (clash) throw new RangeError(`${className}.setTimesteps: cannot set timesteps with ${clash}`);
    const times = timesteps.map(Math.trunc);
    return { times, levels: this.levelsAt(times) };
  }

  #spaced(n: number, shift: number): { times: number[]; levels: number[] } {
    const { className, config } = this;
    const round = config.beta_schedule === "squaredcos_cap_v2" ? (t: number): number => t : roundHalfEven;
    const shape = sigmaShape(className, config);
    if (shape !== "karras" && config.use_lu_lambdas) {
      const { times, levels } = this.#lu(n);
      return { times: times.map(round), levels };
    }
    const shaped = this.shaped(n);
    if (shaped) return shape === "karras" ? { ...shaped, times: shaped.times.map(round) } : shaped;
    if (config.use_flow_sigmas) return this.flow(n, shift);
    const times = this.spacedBelow(config, n, this.clippedLength(config.lambda_min_clipped));
    return { times, levels: this.levelsAt(times) };
  }

  /** Levels evenly spaced in λ (Lu et al. 2022, arXiv 2206.00927, section 3.4). */
  #lu(n: number): { times: number[]; levels: number[] } {
    const levels = linspace64(0, 1, n).map((ramp) => {
      const [max, min] = [this.logTable[this.logTable.length - 1], this.logTable[0]];
      return Math.exp(max + ramp * (min - max));
    });
    return { times: levels.map((sigma) => sigmaToTimestep(sigma, this.logTable)), levels };
  }
}
