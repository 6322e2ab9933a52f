/** The multistep solver that DPM-Solver's forward and inverse schedulers run. */
import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { dpmUpdate } from "./dpm_formulas.js";
import { DPMScheduler, type DPMConfig } from "./dpm_scheduler.js";
import { History } from "./history.js";
import { Linear } from "./linear.js";
import type { StepOptions, StepResult } from "./scheduler.js";

export interface DPMMultistepConfig extends DPMConfig {
  readonly lower_order_final: boolean;
  readonly euler_at_final: boolean;
}

export abstract class DPMMultistep<C extends DPMMultistepConfig = DPMMultistepConfig> extends DPMScheduler<C> {
  /** Converted outputs of the model, up to `solver_order`. */
  readonly #outputs = new History(this.config.solver_order);

  override reset(): void {
    super.reset();
    this.#outputs.clear();
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepResult {
    const index = this.indexOfStep(timestep);
    const order = Math.min(this.config.solver_order, this.#outputs.length + 1, this.#orderAt(index));
    const result = sample.device.scope(() => {
      const mean = this.meanOf(modelOutput, sample);
      checkShapes(this.className, mean, sample);
      this.#outputs.push(this.convert(mean, sample, index));
      const noise = this.noiseFor(mean, options);
      return { prevSample: this.#update(order, index, sample, noise).toTensor() };
    });
    this.advance();
    return result;
  }

  /** The highest order that is stable at a step: the last ones of short schedules are of lower order. */
  #orderAt(index: number): number {
    const { euler_at_final, lower_order_final, final_sigmas_type } = this.config;
    const left = this.timesteps.length - index;
    const lowers = lower_order_final && this.timesteps.length < 15;
    if (left === 1 && (euler_at_final || lowers || final_sigmas_type === "zero")) return 1;
    return left === 2 && lowers ? 2 : 3;
  }

  #update(order: number, index: number, x: Tensor, noise: Tensor | null): Linear {
    const { algorithm, solver } = this;
    if (order === 3 && algorithm === "sde-dpmsolver")
      throw new RangeError(`${this.className}: solver_order 3 does not go with algorithm_type "sde-dpmsolver", use 2`);
    const [to, from] = [this.level(index + 1), this.level(index)];
    const h = to.lambda - from.lambda;
    const d0 = Linear.of(this.#outputs.at(-1));
    if (order === 1) return dpmUpdate(algorithm, { from, to }, { x, d0, noise });
    const h0 = from.lambda - this.level(index - 1).lambda;
    const r0 = h0 / h;
    const slope0 = d0.minus(this.#outputs.at(-2)).times(1 / r0);
    if (order === 2) return dpmUpdate(algorithm, { from, to, solver }, { x, d0, d1: slope0, noise });
    const r1 = (this.level(index - 1).lambda - this.level(index - 2).lambda) / h;
    const slope1 = Linear.of(this.#outputs.at(-2)).minus(this.#outputs.at(-3)).times(1 / r1);
    const bend = slope0.minus(slope1).times(1 / (r0 + r1));
    return dpmUpdate(algorithm, { from, to, solver: "heun" }, { x, d0, d1: slope0.plus(bend, r0), d2: bend, noise });
  }
}
