import { shown } from "../arguments/shown.js";
import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkScheduleOptions, checkSteps, checkShapes, checkTrainTimesteps, given, optionsObject } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = { num_train_timesteps: 1000, prediction_type: "trigflow" as Choice<"trigflow">, sigma_data: 0.5 };
/** Keys of a SCMScheduler's config, with diffusers' meaning and defaults. */
export type SCMConfig = typeof defaults;

/** Times of a schedule of trigonometric flow, which are angles. */
export interface SCMSchedule extends ScheduleOptions {
  /** Where it begins. Default 1.5708. */
  maxTimesteps?: number | null;
  /** The time in the middle of two steps: 1.3 unless told; null halves the way. */
  intermediateTimesteps?: number | null;
}

/**
 * Multistep sampling of continuous-time consistency models (Lu & Song 2024, arXiv 2410.11081), of which SANA-Sprint is one. A run takes
 * the timesteps but for the last, which is where it ends. diffusers: scheduling_scm.py
 */
export class SCMScheduler extends IndexedScheduler<SCMConfig> {
  static override readonly className: string = "SCMScheduler";
  static override readonly defaults = defaults;
  static override readonly customSchedules = ["timesteps"] as const;
  protected override readonly needsSetTimesteps = true;
  readonly initNoiseSigma = 1;

  constructor(options: Partial<SCMConfig> = {}) {
    super(options);
    const train = checkTrainTimesteps(this.className, this.config.num_train_timesteps);
    this.timesteps = Array.from({ length: train }, (_, i) => train - 1 - i);
  }

  /**
   * @param options `timesteps` of your own, one more than there are steps; else `maxTimesteps` and, for two steps,
   *   `intermediateTimesteps`. Unlike diffusers' this takes other numbers of steps without being told that it be null
   */
  setTimesteps(numInferenceSteps: number | null, options: SCMSchedule = {}): void {
    const { className, config } = this;
    const { maxTimesteps, intermediateTimesteps, ...others } = optionsObject(className, options);
    const { timesteps } = checkScheduleOptions(className, SCMScheduler.customSchedules, others);
    const steps = numInferenceSteps ?? (timesteps ? timesteps.length - 1 : null);
    const n = checkSteps(this, steps, config.num_train_timesteps);
    const wrong = (fault: string): RangeError => new RangeError(`${className}.setTimesteps: ${fault}`);
    for (const [name, value] of Object.entries({ maxTimesteps, intermediateTimesteps }))
      if (given(value) && !Number.isFinite(value)) throw wrong(`${name} must be a finite number, got ${shown(value)}`);
    if (timesteps && timesteps.length !== n + 1)
      throw wrong(`needs ${n + 1} timesteps, one more than steps, got ${timesteps.length}`);
    if (timesteps && given(maxTimesteps)) throw wrong("takes timesteps or maxTimesteps, got both");
    if (given(intermediateTimesteps) && n !== 2) throw wrong(`intermediateTimesteps is for 2 steps, got ${n} of them`);
    const max = maxTimesteps ?? 1.5708;
    const middle = n === 2 && intermediateTimesteps === undefined ? 1.3 : intermediateTimesteps;
    this.timesteps = (timesteps ?? (given(middle) ? [max, middle, 0] : Array.from(linspace(max, 0, n + 1)))).map(
      Math.fround,
    );
    this.numInferenceSteps = n;
    this.restart();
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, config, timesteps } = this;
    const { generator, varianceNoise } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [s, t] = [timesteps[index], timesteps[index + 1] as number | undefined];
    if (t === undefined)
      throw new RangeError(
        `${className}.step: no timestep follows ${timestep}; a run takes scheduler.timesteps but for the last`,
      );
    oneOf(className, "prediction_type", config.prediction_type, ["trigflow"]);
    const result = sample.device.scope(() => {
      const x0 = Linear.of(sample, Math.cos(s)).plus(modelOutput, -Math.sin(s));
      const noise = varianceNoise ?? drawNoise(sample, generator, "float32");
      const previous = x0.times(Math.cos(t)).plus(noise, Math.sin(t) * config.sigma_data);
      return { prevSample: previous.toTensor(), predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }
}
