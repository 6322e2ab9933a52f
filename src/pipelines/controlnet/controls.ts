/** The ControlNets of a call: what each is given in a step, diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import type { ControlNetTrunk, Reading, ReadingAs } from "../../nn/controlnet/controlnet_trunk.js";
import type { Control, StepControls } from "../../nn/controlnet/step_controls.js";
import type { Tensor } from "../../tensor/tensor.js";
import { PROMPT_GUIDANCE, promptRows } from "../call/guidance.js";
import type { ControlNetCallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";

/** How a picture steers. */
export interface PictureOfCall {
  scale: number;
  /** Of the steps, from 0 to 1: where it begins and ends to count. */
  start: number;
  end: number;
  /** Its kind, of a union of ControlNets. */
  mode?: number;
}

/** A ControlNet of a call, and the pictures that it reads: of a union one or several, else one. */
export interface NetOfCall {
  net: ControlNetTrunk;
  pictures: readonly PictureOfCall[];
}

interface ControlsOfCall {
  guessMode: boolean;
  /** How many steps the parts of a picture are of. */
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
  /** By net and scales: the same in all steps in which these are. */
  readonly #hows = new Map<string, ReadingAs>();

  /** @param images one for each picture of each net; disposed by dispose() */
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
    const nets = this.#nets.flatMap(({ net, pictures }, k): Control[] => {
      const scales = pictures.map(({ scale, start, end }) =>
        i / steps >= start && (i + 1) / steps <= end ? scale : 0,
      );
      // Of several pictures each has its scale, and the net draws even where all are 0, as in diffusers.
      if (scales.length > 1) return [{ net, reading: this.#reading(k, scales), scale: 1 }];
      // diffusers computes what it multiplies by 0.
      return scales[0] === 0 ? [] : [{ net, reading: this.#reading(k, [1]), scale: scales[0] }];
    });
    return { nets, guessMode, secondHalf };
  }

  #reading(k: number, scales: readonly number[]): Reading {
    const { pictures } = this.#nets[k];
    const first = this.#nets.slice(0, k).reduce((sum, net) => sum + net.pictures.length, 0);
    const key = String([k, ...scales]);
    const how = this.#hows.get(key) ?? { modes: pictures.map(({ mode = 0 }) => mode), scales };
    this.#hows.set(key, how);
    return { images: this.#images.slice(first, first + pictures.length), how };
  }

  /** For a callback. */
  get callbackTensors(): Pick<ControlNetCallbackTensors, "image" | "control_image"> {
    const { isList, tensorName } = this.#call;
    return { [tensorName]: isList ? this.#images : this.#images[0] };
  }

  /** Takes what a callback returned. @throws RangeError unless there is one for each picture */
  replace(returned: Partial<Record<"image" | "control_image", readonly Tensor[]>>): void {
    const { tensorName } = this.#call;
    const images = returned[tensorName];
    if (!images) return;
    if (images.length !== this.#images.length)
      throw new RangeError(
        `callbackOnStepEnd: the returned ${tensorName} must be a Tensor for each of ${this.#images.length} pictures that ControlNets read, got ${images.length}`,
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
