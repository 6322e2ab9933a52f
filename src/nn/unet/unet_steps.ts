/** A UNet in a denoising loop, and ControlNets that steer it: the first step is recorded, the others replay it. */
import type { Device } from "../../tensor/device.js";
import { slice } from "../../tensor/ops/copy.js";
import { Plan, type PlanInput } from "../../tensor/plan.js";
import { Tensor } from "../../tensor/tensor.js";
import type { ControlNetTrunk } from "../controlnet/controlnet_trunk.js";
import { embedSeen, residualsOf, shapesSeen, type StepControls } from "../controlnet/step_controls.js";
import { TimestepTable } from "./timestep_table.js";
import type { UNet2DConditionModel, UNetForwardOptions } from "./unet_2d_condition.js";

/** What changes how a step is recorded, not only its numbers. */
const UNPLANNED = [
  "encoderAttentionMask",
  "downBlockAdditionalResiduals",
  "midBlockAdditionalResidual",
  "downIntrablockAdditionalResiduals",
] as const;

/** What a step takes beside latents and prompts. */
interface BesidePrompts {
  /** ControlNets, whose timestep is one for the batch. */
  controls?: StepControls;
  /** Of embedImages(). */
  images?: readonly Tensor[];
  /** Of a T2I-Adapter, as UNet2DConditionModel.predict() takes them. */
  features?: readonly Tensor[];
}

const NONE: StepControls = { nets: [], guessMode: false, secondHalf: false };

export class UNetSteps {
  #plan: Plan | null = null;
  #key = "";
  #plannable = true;
  readonly #table: TimestepTable;
  readonly #controlTables = new Map<ControlNetTrunk, TimestepTable>();
  readonly #nets = new Set<ControlNetTrunk>();

  /** @param timesteps that will come, if known: what depends on them alone is computed for all of them at once */
  constructor(
    private readonly unet: UNet2DConditionModel,
    private readonly device: Device,
    private readonly timesteps: readonly number[] = [],
  ) {
    this.#table = new TimestepTable(unet, device, timesteps);
  }

  /** Bytes that the recorded step holds for its intermediate results; 0 before the first. */
  get plannedBytes(): number {
    return this.#plan?.bytes ?? 0;
  }

  /**
   * Makes what the first step needs and those behind it keep: rows of timesteps, what ControlNets see of their pictures. Done before it,
   * the memory for that is given back by the time that the step's is taken.
   */
  async begin(timestep: number, timestepCond?: Tensor, controls: StepControls = NONE): Promise<void> {
    const { unet, device } = this;
    device.scope(() => {
      if (unet.embedsTimeAlone) this.#table.rows(timestep, timestepCond);
      for (const { net, reading } of controls.nets) {
        net.features(reading);
        if (net.embedsTimeAlone) this.#tableOf(net).rows(timestep);
      }
    });
    device.trim();
    await device.flush();
  }

  /**
   * `unet.forward(…).sample`. Shapes that differ from those of the last step, and other controls, are recorded anew.
   * @returns a tensor of the caller's (or of its scope)
   */
  predict(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    options: UNetForwardOptions = {},
    { controls = NONE, images = [], features = [] }: BesidePrompts = {},
  ): Tensor {
    const { unet, device } = this;
    if (UNPLANNED.some((name) => options[name] != null))
      return unet.forward(sample, timestep, encoderHiddenStates, options).sample;
    const perImage = unet.check(sample, timestep, encoderHiddenStates, options);
    return device.scope(() => {
      const time =
        typeof timestep === "number" && unet.embedsTimeAlone && !options.classLabels && !options.addedCondKwargs
          ? this.#table.rows(timestep, options.timestepCond)
          : unet.embedConditions(sample, perImage, encoderHiddenStates, options);
      const steering = controls.nets.map((control) => {
        const { net, reading } = control;
        const [ofSample, ofPrompt] = shapesSeen(control, controls, [sample, encoderHiddenStates]);
        net.check(
          ofSample,
          ofPrompt,
          reading.images.map(({ shape }) => shape),
        );
        const timeOfNet = net.embedsTimeAlone
          ? this.#tableOf(net).rows(perImage[0])
          : embedSeen(control, controls, [perImage, encoderHiddenStates, options.addedCondKwargs]);
        return [net.features(reading), ...timeOfNet];
      });
      const inputs = [sample, encoderHiddenStates, ...images, ...features, ...time, ...steering.flat()];
      const work = (...[x, prompt, ...rest]: Tensor[]): Tensor => {
        const seen = rest.splice(0, images.length);
        const inside = rest.splice(0, features.length);
        const own = rest.splice(0, time.length);
        const residuals = controls.nets.map((control, i) => {
          const [features, ...timeOfNet] = rest.splice(0, steering[i].length);
          return residualsOf(control, controls, [x, prompt, features], timeOfNet);
        });
        return unet.predict(x, own, prompt, { residuals, images: seen, features: inside });
      };
      const hoisted = [1, ...images.map((_, i) => 2 + i)];
      const key = `${features.length} ${this.#keyOf(controls)}`;
      const plan = this.#plannable ? this.#recorded(inputs, work, { key, hoisted }) : null;
      // A copy, because the plan's own result is overwritten by the next step, and schedulers keep a history.
      if (plan) return plan.run(inputs, { copy: true });
      return work(...inputs.map((x) => (x instanceof Tensor ? x : slice(x.of, 0, x.first, x.count))));
    });
  }

  dispose(): void {
    this.#forgetPlan();
    for (const table of [this.#table, ...this.#controlTables.values()]) table.dispose();
  }

  #forgetPlan(): void {
    this.#plan?.dispose();
    this.#plan = null;
  }

  #tableOf(net: ControlNetTrunk): TimestepTable {
    let table = this.#controlTables.get(net);
    if (!table) this.#controlTables.set(net, (table = new TimestepTable(net, this.device, this.timesteps)));
    return table;
  }

  /** What of controls, and of pictures' scales, changes how a step is recorded, not only its numbers. */
  #keyOf({ nets, guessMode, secondHalf }: StepControls): string {
    for (const { net } of nets) this.#nets.add(net);
    const known = [...this.#nets];
    const scales = this.unet.ipAdapters.map(({ key }) => key);
    return JSON.stringify([nets.map(({ net, scale }) => [known.indexOf(net), scale]), guessMode, secondHalf, scales]);
  }

  /** The plan for these shapes and controls; null if the model computes with numbers of its own on the way (FreeU does). */
  #recorded(
    inputs: readonly PlanInput[],
    work: (...inputs: Tensor[]) => Tensor,
    { key: settings, hoisted }: { key: string; hoisted: readonly number[] },
  ): Plan | null {
    // Of rows it does not count of how many: a schedule's last table is shorter than those before it.
    const shapes = inputs
      .map((input) =>
        "of" in input ? `${input.of.dtype} ${[input.count, ...input.of.shape.slice(1)]}` : String(input),
      )
      .join(" ");
    const key = `${shapes} ${settings}`;
    if (this.#plan && key === this.#key) return this.#plan;
    this.#forgetPlan();
    this.#key = key;
    this.#plan = Plan.attempt(this.device, inputs, work, { hoisted, label: "unet step" });
    this.#plannable = this.#plan !== null;
    return this.#plan;
  }
}
