/** A UNet in a denoising loop: the first step is recorded, the others replay it. */
import type { Device } from "../tensor/device.js";
import { slice } from "../tensor/ops/copy.js";
import { Plan, type PlanInput } from "../tensor/plan.js";
import type { Tensor } from "../tensor/tensor.js";
import type { UNet2DConditionModel, UNetForwardOptions } from "./unet_2d_condition.js";

/** What changes how a step is recorded, not only its numbers. */
const UNPLANNED = ["encoderAttentionMask", "downBlockAdditionalResiduals", "midBlockAdditionalResidual"] as const;

/** Rows of a schedule's table at most: 5 MB of Stable Diffusion 1.5's in float32. */
const MOST_ROWS = 64;

/** What the blocks take of some timesteps, of all of a schedule where they are not too many. */
interface Schedule {
  /** [timesteps * each, …] */
  tables: readonly Tensor[];
  each: number;
  places: ReadonlyMap<number, number>;
  condition: Tensor | undefined;
}

export class UNetSteps {
  #plan: Plan | null = null;
  #shapes = "";
  #plannable = true;
  #schedule: Schedule | null = null;

  /** @param timesteps that will come, if known: what depends on them alone is computed for all of them at once */
  constructor(
    private readonly unet: UNet2DConditionModel,
    private readonly device: Device,
    private readonly timesteps: readonly number[] = [],
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
    const perImage = unet.check(sample, timestep, encoderHiddenStates, options);
    return device.scope(() => {
      const time =
        typeof timestep === "number" && unet.embedsTimeAlone && !options.classLabels && !options.addedCondKwargs
          ? this.#scheduled(timestep, options.timestepCond)
          : unet.embedConditions(sample, perImage, encoderHiddenStates, options);
      const inputs = [sample, encoderHiddenStates, ...time];
      const plan = this.#recorded(inputs);
      // A copy, because the plan's own result is overwritten by the next step, and schedulers keep a history.
      if (plan) return plan.run(inputs, { copy: true });
      return unet.forward(sample, timestep, encoderHiddenStates, options).sample;
    });
  }

  dispose(): void {
    this.#forgetPlan();
    this.#forgetSchedule();
  }

  #forgetPlan(): void {
    this.#plan?.dispose();
    this.#plan = null;
  }

  #forgetSchedule(): void {
    for (const table of this.#schedule?.tables ?? []) table.dispose();
    this.#schedule = null;
  }

  /** The rows of a timestep; its table is made where there is none. */
  #scheduled(timestep: number, condition: Tensor | undefined): PlanInput[] {
    if (this.#schedule?.condition !== condition || !this.#schedule?.places.has(timestep)) {
      this.#forgetSchedule();
      this.#schedule = this.#embed(timestep, condition);
    }
    const { tables, each, places } = this.#schedule!;
    const first = each * places.get(timestep)!;
    // Rows of whole quads are copied from where they lie.
    return tables.map((of) => (of.shape[1] % 4 === 0 ? { of, first, count: each } : slice(of, 0, first, each)));
  }

  /** The table of a timestep and those that follow it. */
  #embed(timestep: number, condition: Tensor | undefined): Schedule {
    const { device, unet, timesteps } = this;
    const each = condition?.shape[0] ?? 1;
    const at = timesteps.indexOf(timestep);
    const next = at < 0 ? [timestep] : [...new Set(timesteps.slice(at))];
    const chosen = next.slice(0, Math.max(1, Math.floor(MOST_ROWS / each)));
    const tables = unet.embedSchedule(device, chosen, condition).map((table) => device.keep(table));
    return { tables, each, condition, places: new Map(chosen.map((t, i) => [t, i])) };
  }

  /** The plan for these shapes; null if the model computes with numbers of its own on the way (FreeU does). */
  #recorded(inputs: readonly PlanInput[]): Plan | null {
    const shapes = inputs
      .map((input) => ("of" in input ? `${input.count} of ${String(input.of)}` : String(input)))
      .join();
    if (this.#plan && shapes === this.#shapes) return this.#plan;
    this.#forgetPlan();
    this.#shapes = shapes;
    const work = (...[sample, prompt, ...time]: Tensor[]): Tensor => this.unet.predict(sample, time, prompt);
    this.#plan = Plan.attempt(this.device, inputs, work, { hoisted: [1], label: "unet step" });
    this.#plannable = this.#plan !== null;
    return this.#plan;
  }
}
