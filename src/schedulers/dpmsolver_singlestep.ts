import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes, countSteps, checkTensors } from "./checks.js";
import type { Choice } from "./config.js";
import { dpmUpdate } from "./dpm_formulas.js";
import { DPM_DEFAULTS, DPMScheduler } from "./dpm_scheduler.js";
import { History, Slot } from "./history.js";
import { Linear } from "./linear.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { sigmaShape } from "./sigmas.js";
import { linspace64 } from "./spacing.js";

const defaults = {
  ...DPM_DEFAULTS,
  lower_order_final: false,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
  use_dynamic_shifting: false,
  time_shift_type: "exponential" as Choice<"exponential" | "linear">,
};
/** Keys of a DPMSolverSinglestepScheduler's config, with diffusers' meaning and defaults. */
export type DPMSolverSinglestepConfig = typeof defaults;

/** DPM-Solver and DPM-Solver++, singlestep (Lu et al. 2022, arXiv 2211.01095). diffusers: scheduling_dpmsolver_singlestep.py */
export class DPMSolverSinglestepScheduler extends DPMScheduler<DPMSolverSinglestepConfig> {
  static override readonly className: string = "DPMSolverSinglestepScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps", "mu"] as const;
  /** Order of each step: every step of higher order starts again from the sample of the last step of first order. */
  orderList: number[];
  readonly #outputs = new History(this.config.solver_order);
  readonly #start = new Slot();

  constructor(options: Partial<DPMSolverSinglestepConfig> = {}) {
    super(options, ["dpmsolver", "dpmsolver++", "sde-dpmsolver++"]);
    this.orderList = this.getOrderList(this.config.num_train_timesteps);
  }

  /** The orders of `steps` steps, cycling up to `solver_order`. */
  getOrderList(steps: number): number[] {
    const { solver_order: order, lower_order_final: lowers, final_sigmas_type } = this.config;
    const cycle = [1, 2, 3].slice(0, order);
    const repeat = (times: number): number[] => Array.from({ length: Math.max(0, times) }, () => cycle).flat();
    const whole = Math.floor(steps / order);
    let orders = repeat(whole);
    if (lowers && order > 1) {
      const rest = steps % order;
      orders =
        rest === 0
          ? [...repeat(whole - 1), ...(order === 3 ? [1, 2, 1] : [1, 1])]
          : [...orders, ...cycle.slice(0, rest)];
    }
    if (final_sigmas_type === "zero" && orders.length > 0) orders[orders.length - 1] = 1;
    return orders;
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, DPMSolverSinglestepScheduler.customSchedules, options);
    const { timesteps, mu } = options;
    const n = countSteps(this, numInferenceSteps, timesteps);
    const shape = sigmaShape(className, config);
    if (timesteps && shape)
      throw new RangeError(`${className}.setTimesteps: cannot set timesteps with use_${shape}_sigmas`);
    const { times, levels } = this.#schedule(n, this.shiftFor(mu), timesteps);
    this.begin(times, [...levels, this.finalLevel]);
    this.#adjust(n);
    this.orderList = this.getOrderList(n);
  }

  #schedule(n: number, shift: number, timesteps?: readonly number[]): { times: number[]; levels: number[] } {
    const shaped = this.shaped(n);
    if (shaped) return this.config.use_karras_sigmas ? { ...shaped, times: shaped.times.map(roundHalfEven) } : shaped;
    if (this.config.use_flow_sigmas) return this.flow(n, shift);
    const last = this.clippedLength(this.config.lambda_min_clipped);
    const times =
      timesteps?.map(Math.trunc) ??
      linspace64(0, last - 1, n + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, -1);
    return { times, levels: this.levelsAt(times) };
  }

  /** Some numbers of steps need the last ones to be of lower order, whatever the config says. */
  #adjust(n: number): void {
    const { lower_order_final, solver_order, final_sigmas_type } = this.config;
    if (lower_order_final || (n % solver_order === 0 && final_sigmas_type !== "zero")) return;
    console.warn(
      `${this.className}: lower_order_final is set to true, because ` +
        (n % solver_order === 0
          ? 'final_sigmas_type is "zero"'
          : `${n} steps are no multiple of solver_order ${solver_order}`),
    );
    this.rewriteConfig({ lower_order_final: true });
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
    this.#start.clear();
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const noiseOptions = checkStepOptions(this.className, options);
    checkTensors(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const result = sample.device.scope(() => {
      const mean = this.meanOf(modelOutput, sample);
      checkShapes(this.className, mean, sample);
      this.#outputs.push(this.convert(mean, sample, index));
      const noise = this.noiseFor(mean, noiseOptions);
      // A run that began in the middle has fewer outputs than its orders say.
      const order = Math.min(this.orderList[index], this.#outputs.length);
      if (order === 1) this.#start.set(sample);
      return { prevSample: this.#update(order, index, this.#start.value ?? sample, noise).toTensor() };
    });
    this.advance();
    return result;
  }

  /** From the sample of the last step of first order, `order` levels back, to the next level. */
  #update(order: number, index: number, x: Tensor, noise: Tensor | null): Linear {
    const { algorithm, solver } = this;
    const outputs = this.#outputs;
    const [to, from] = [this.level(index + 1), this.level(index - order + 1)];
    const h = to.lambda - from.lambda;
    const d0 = Linear.of(outputs.at(-order));
    if (order === 1) return dpmUpdate(algorithm, { from, to }, { x, d0, noise });
    const r0 = (this.level(index).lambda - from.lambda) / h;
    const slope0 = Linear.of(outputs.at(-1))
      .minus(d0)
      .times(1 / r0);
    if (order === 2) return dpmUpdate(algorithm, { from, to, solver }, { x, d0, d1: slope0, noise });
    if (solver === "midpoint") return dpmUpdate(algorithm, { from, to, solver: "heun" }, { x, d0, d1: slope0, noise });
    const r1 = (this.level(index - 1).lambda - from.lambda) / h;
    const slope1 = Linear.of(outputs.at(-2))
      .minus(d0)
      .times(1 / r1);
    const d1 = slope1
      .times(r0)
      .plus(slope0, -r1)
      .times(1 / (r0 - r1));
    const d2 = slope0.minus(slope1).times(2 / (r0 - r1));
    return dpmUpdate(algorithm, { from, to, solver }, { x, d0, d1, d2, noise });
  }
}
