/** A UNet in a denoising loop: the first step is recorded, the others replay it. */
import type { Device } from "../tensor/device.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import { Plan } from "../tensor/plan.js";
import type { Tensor } from "../tensor/tensor.js";
import type { UNet2DConditionModel, UNetForwardOptions } from "./unet_2d_condition.js";

/** What changes how a step is recorded, not only its numbers. */
const UNPLANNED = ["encoderAttentionMask", "downBlockAdditionalResiduals", "midBlockAdditionalResidual"] as const;

export class UNetSteps {
  #plan: Plan | null = null;
  #shapes = "";
  #plannable = true;

  constructor(
    private readonly unet: UNet2DConditionModel,
    private readonly device: Device,
  ) {}

  /** Bytes that the recorded step holds for its intermediate results; 0 before the first. */
  get plannedBytes(): number {
    return this.#plan?.bytes ?? 0;
  }

  /**
   * `unet.forward(…).sample`. Shapes that differ from those of the last step are recorded anew.
   * @returns a tensor of the caller's (or of its scope)
   */
  predict(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    options: UNetForwardOptions = {},
  ): Tensor {
    const { unet, device } = this;
    if (!this.#plannable || UNPLANNED.some((name) => options[name] != null))
      return unet.forward(sample, timestep, encoderHiddenStates, options).sample;
    return device.scope(() => {
      const embedding = unet.embedConditions(sample, timestep, encoderHiddenStates, options);
      const inputs = [sample, embedding, encoderHiddenStates];
      const plan = this.#recorded(inputs);
      // A copy, because the plan's own result is overwritten by the next step, and schedulers keep a history.
      if (plan) return linearCombination([[1, plan.run(inputs)]]);
      return unet.forward(sample, timestep, encoderHiddenStates, options).sample;
    });
  }

  dispose(): void {
    this.#plan?.dispose();
    this.#plan = null;
  }

  /** The plan for these shapes; null if the model computes with numbers of its own on the way (FreeU does). */
  #recorded(inputs: readonly Tensor[]): Plan | null {
    const shapes = inputs.map(String).join();
    if (this.#plan && shapes === this.#shapes) return this.#plan;
    this.dispose();
    this.#shapes = shapes;
    const work = (...[sample, embedding, prompt]: Tensor[]): Tensor => this.unet.predict(sample, embedding, prompt);
    this.#plan = Plan.attempt(this.device, inputs, work, { hoisted: [2], label: "unet step" });
    this.#plannable = this.#plan !== null;
    return this.#plan;
  }
}
