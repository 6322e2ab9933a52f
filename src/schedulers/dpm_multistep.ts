/** The multistep solver that DPM-Solver's forward and inverse schedulers run. */
import type { Tensor } from "../tensor/tensor.js";
import { checkShapes, checkTensors } from "./checks.js";
import { multistepOrder, multistepUpdate, type MultistepConfig } from "./dpm_formulas.js";
import { DPMScheduler, type DPMConfig } from "./dpm_scheduler.js";
import { History } from "./history.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

export type DPMMultistepConfig = DPMConfig & MultistepConfig;

export abstract class DPMMultistep<C extends DPMMultistepConfig = DPMMultistepConfig> extends DPMScheduler<C> {
  /** Converted outputs of the model, up to `solver_order`. */
  readonly #outputs = new History(this.config.solver_order);

  /** Whether the level after the last step is 0, where only the first order is finite. */
  protected abstract get endsAtZero(): boolean;

  override reset(): void {
    super.reset();
    this.#outputs.clear();
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { algorithm, solver, className, endsAtZero } = this;
    const noiseOptions = checkStepOptions(className, options);
    checkTensors(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const remembered = this.#outputs.length;
    const order = multistepOrder(this.config, { index, steps: this.timesteps.length, remembered, endsAtZero });
    if (order === 3 && algorithm === "sde-dpmsolver")
      throw new RangeError(`${className}: solver_order 3 does not go with algorithm_type "sde-dpmsolver", use 2`);
    const result = sample.device.scope(() => {
      const mean = this.meanOf(modelOutput, sample);
      checkShapes(className, mean, sample);
      this.#outputs.push(this.convert(mean, sample, index));
      const noise = this.noiseFor(mean, noiseOptions);
      const levels = Array.from({ length: order + 1 }, (_, k) => this.level(index + 1 - k));
      const update = multistepUpdate({ algorithm, solver, order }, levels, this.#outputs.newestFirst, {
        x: sample,
        noise,
      });
      return { prevSample: update.toTensor() };
    });
    this.advance();
    return result;
  }
}
