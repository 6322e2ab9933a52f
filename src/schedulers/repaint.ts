import { shown } from "../arguments/shown.js";
import { repeatRows } from "../tensor/ops/copy.js";
import { maskedMix } from "../tensor/ops/masked_mix.js";
import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS, type UsualBetaSchedule } from "./betas.js";
import { at, checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { ddimUpdate } from "./ddim_formulas.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = {
  ...BETA_DEFAULTS,
  beta_schedule: "linear" as Choice<UsualBetaSchedule | "sigmoid">,
  eta: 0.0,
  clip_sample: true,
};
/** Keys of a RePaintScheduler's config, with diffusers' meaning and defaults. */
export type RePaintConfig = typeof defaults;

/**
 * Inpainting by a model that knows nothing of masks (Lugmayr et al. 2022, arXiv 2201.09865): the schedule goes back again and again,
 * so that what is drawn and what stays grow together. diffusers: scheduling_repaint.py
 */
export class RePaintScheduler extends AlphasScheduler<RePaintConfig> {
  static override readonly className: string = "RePaintScheduler";
  static override readonly defaults = defaults;
  static override readonly customSchedules = ["jumpLength", "jumpNSample"] as const;
  /** ᾱ of the step that comes after the last. */
  readonly finalAlphaCumprod = 1;
  /** Weight of the steps' noise: 0 is DDIM, 1 DDPM. */
  eta: number;

  constructor(options: Partial<RePaintConfig> = {}) {
    super(options, ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]);
    this.eta = this.config.eta;
  }

  /**
   * Timesteps go down and, `jumpNSample - 1` times at every `jumpLength`-th, that many steps up again.
   * @param numInferenceSteps more than the training had count as those
   * @param options `jumpLength` and `jumpNSample`, 10 each unless told
   */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    const { jumpLength, jumpNSample } = checkScheduleOptions(className, RePaintScheduler.customSchedules, options);
    const length = checkJump(className, "jumpLength", jumpLength ?? 10);
    const samples = checkJump(className, "jumpNSample", jumpNSample ?? 10);
    const n = Math.min(config.num_train_timesteps, checkSteps(this, numInferenceSteps));
    const stride = Math.floor(config.num_train_timesteps / n);
    const left = new Map<number, number>();
    for (let t = 0; t < n - length; t += length) left.set(t, samples - 1);
    const timesteps: number[] = [];
    for (let t = n - 1; t >= 0; t--) {
      timesteps.push(t);
      const jumps = left.get(t) ?? 0;
      if (jumps === 0) continue;
      left.set(t, jumps - 1);
      for (let i = 0; i < length; i++) timesteps.push(++t);
    }
    this.timesteps = timesteps.map((t) => t * stride);
    this.numInferenceSteps = n;
  }

  /** Algorithm 1 of the paper with DDIM's step. @param options `originalImage`, `mask`, `generator` */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, config, eta } = this;
    const { originalImage, mask, generator } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const previous = timestep - this.#stride;
    const alphaPrevious = previous >= 0 ? this.alphaAt(previous) : this.finalAlphaCumprod;
    const alpha = this.alphaAt(timestep);
    if (!originalImage || !mask)
      throw new TypeError(`${className}.step: needs { originalImage, mask }, what to keep and where`);
    return sample.device.scope(() => {
      const noise = drawNoise(modelOutput, generator);
      const update = {
        ...{ alpha, alphaPrevious, predictionType: "epsilon", clip: { clip_sample: config.clip_sample } },
        ...{ eta, noise: timestep > 0 ? () => noise : undefined },
      };
      const { prevSample: drawn, predOriginalSample } = ddimUpdate(className, update, modelOutput, sample);
      // The noise is that of the step: diffusers uses it twice.
      const kept = Linear.of(originalImage, Math.sqrt(alphaPrevious)).plus(noise, Math.sqrt(1 - alphaPrevious));
      return { prevSample: maskedMix(drawn, kept.toTensor(), rowsOf(mask, sample)), predOriginalSample };
    });
  }

  /**
   * Goes a step back: adds the noise of the training timesteps from `timestep` on.
   * @returns the sample there, which belongs to the caller
   */
  undoStep(sample: Tensor, timestep: number, options?: Pick<StepOptions, "generator"> | null): Tensor {
    const { className, betas } = this;
    const { generator } = checkStepOptions(className, options, "undoStep");
    const { device } = sample;
    const stride = this.#stride;
    let x = sample;
    for (let i = 0; i < stride; i++) {
      const current = x;
      x = device.scope(() => {
        const beta = at(className, betas, timestep + i);
        return Linear.of(current, Math.sqrt(1 - beta))
          .plus(drawNoise(sample, generator), Math.sqrt(beta))
          .toTensor();
      });
      if (current !== sample) current.dispose();
    }
    return x;
  }

  /** @throws Error always, as in diffusers: models are trained with DDPMScheduler's */
  override addNoise(): never {
    throw new Error(`${this.className}.addNoise: Use \`DDPMScheduler.addNoise()\` to train for sampling with RePaint.`);
  }

  /** Training timesteps of a step. */
  get #stride(): number {
    return Math.floor(this.config.num_train_timesteps / this.stepsSet);
  }
}

/** One mask for all samples, or one per sample. */
const rowsOf = (mask: Tensor, { shape: [batch] }: Tensor): Tensor =>
  mask.shape[0] === 1 && batch > 1 ? repeatRows(mask, batch) : mask;

function checkJump(className: string, name: string, n: unknown): number {
  if (Number.isSafeInteger(n) && (n as number) >= 1) return n as number;
  throw new RangeError(`${className}.setTimesteps: ${name} must be a whole number of at least 1, got ${shown(n)}`);
}
