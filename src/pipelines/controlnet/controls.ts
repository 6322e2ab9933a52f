/** The ControlNets of a call: what each is given in a step, diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import type { ControlNetModel } from "../../nn/controlnet/controlnet.js";
import type { StepControls } from "../../nn/controlnet/step_controls.js";
import type { Tensor } from "../../tensor/tensor.js";
import { PROMPT_GUIDANCE, promptRows } from "../call/guidance.js";
import type { ControlNetCallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";

/** A ControlNet of a call. */
export interface NetOfCall {
  net: ControlNetModel;
  scale: number;
  /** Of the steps, from 0 to 1: where it begins and ends to count. */
  start: number;
  end: number;
}

interface ControlsOfCall {
  guessMode: boolean;
  /** How many steps the parts of a net are of. */
  steps: number;
  /** Under which name callbacks get the images. */
  tensorName: "image" | "control_image";
  /** Whether they are a list for callbacks. */
  isList: boolean;
}

export class Controls {
  readonly #nets: readonly NetOfCall[];
  #images: readonly Tensor[];
  readonly #call: ControlsOfCall;

  /** @param images one for each net; disposed by dispose() */
  constructor(nets: readonly NetOfCall[], images: readonly Tensor[], call: ControlsOfCall) {
    this.#nets = nets;
    this.#images = images;
    this.#call = call;
  }

  /**
   * @param i the step
   * @param batch pictures that are drawn
   * @param guided whether the UNet takes each twice
   */
  ofStep(i: number, batch: number, guided: boolean): StepControls {
    const { guessMode, steps } = this.#call;
    const secondHalf = guessMode && guided;
    // A callback may have ended the guidance.
    const rows = guided && !secondHalf ? 2 * batch : batch;
    this.#take(this.#images.map((image) => promptRows(PROMPT_GUIDANCE.branches, image, rows)));
    const nets = this.#nets.flatMap(({ net, scale, start, end }, k) => {
      const counts = i / steps >= start && (i + 1) / steps <= end;
      // diffusers computes what it multiplies by 0.
      return counts && scale !== 0 ? [{ net, scale, image: this.#images[k] }] : [];
    });
    return { nets, guessMode, secondHalf };
  }

  /** For a callback. */
  get callbackTensors(): Pick<ControlNetCallbackTensors, "image" | "control_image"> {
    const { isList, tensorName } = this.#call;
    return { [tensorName]: isList ? this.#images : this.#images[0] };
  }

  /** Takes what a callback returned. @throws RangeError unless there is one for each net */
  replace(returned: Partial<Record<"image" | "control_image", readonly Tensor[]>>): void {
    const { tensorName } = this.#call;
    const images = returned[tensorName];
    if (!images) return;
    if (images.length !== this.#nets.length)
      throw new RangeError(
        `callbackOnStepEnd: the returned ${tensorName} must be a Tensor for each of ${this.#nets.length} ControlNets, got ${images.length}`,
      );
    this.#take(images);
  }

  dispose(): void {
    this.#take([]);
  }

  #take(images: readonly Tensor[]): void {
    for (const old of this.#images) if (!images.includes(old)) old.dispose();
    this.#images = images;
  }
}
