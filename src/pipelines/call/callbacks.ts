/** Callbacks as objects, which know the tensors that they want: diffusers/callbacks.py. */
import { shown } from "../../arguments/shown.js";
import { inOwnSpelling } from "../../arguments/spelling.js";
import { Callable } from "../../loader/callable.js";
import type {
  CallbackOnStepEnd,
  CallbackTensors,
  ControlNetCallbackTensors,
  PromptPipeline,
} from "../stable_diffusion/stable_diffusion_options.js";
import { promptRows } from "./guidance.js";

type TensorNames = readonly (keyof CallbackTensors)[];
/** Of a list, where there are several ControlNets. */
type Entry = ControlNetCallbackTensors[keyof ControlNetCallbackTensors];
type Returned = ReturnType<CallbackOnStepEnd>;

/** When a callback does its work; one of both. */
export interface PipelineCallbackOptions {
  /** Of the model calls, from 0 to 1. Default 1, which is never, where there is no index. */
  cutoffStepRatio?: number | null;
  /** The model call, from 0. */
  cutoffStepIndex?: number | null;
}

const OPTION_NAMES: readonly (keyof PipelineCallbackOptions)[] = ["cutoffStepRatio", "cutoffStepIndex"];

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface PipelineCallback {
  (...args: Parameters<CallbackOnStepEnd>): Returned;
}

/** Base of callbacks for `callbackOnStepEnd`; `callbackOnStepEndTensorInputs` are then its own `tensorInputs`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export abstract class PipelineCallback extends Callable {
  readonly cutoffStepRatio: number | null;
  readonly cutoffStepIndex: number | null;
  /** The tensors that `callbackFn` gets. */
  abstract readonly tensorInputs: TensorNames;

  /** @throws RangeError for both or none of the options, and for a ratio that is none */
  constructor(options: PipelineCallbackOptions = {}) {
    super();
    const { cutoffStepIndex: index = null, ...given } = inOwnSpelling(options, OPTION_NAMES, "PipelineCallback");
    const { cutoffStepRatio: ratio = index === null ? 1 : null } = given;
    if ((ratio === null) === (index === null))
      throw new RangeError("Either cutoffStepRatio or cutoffStepIndex should be provided, not both or none.");
    if (ratio !== null && !(ratio >= 0 && ratio <= 1))
      throw new RangeError(`cutoffStepRatio must be a number between 0 and 1, got ${shown(ratio)}`);
    this.cutoffStepRatio = ratio;
    this.cutoffStepIndex = index;
  }

  /** What the callback does after a step; see CallbackOnStepEnd. */
  abstract callbackFn(...args: Parameters<CallbackOnStepEnd>): Returned;

  override call(...args: Parameters<CallbackOnStepEnd>): Returned {
    return this.callbackFn(...args);
  }
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface MultiPipelineCallbacks {
  (...args: Parameters<CallbackOnStepEnd>): Promise<CallbackTensors>;
}

/** Several callbacks, one after another; each gets the tensors that those before it have replaced. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class MultiPipelineCallbacks extends Callable {
  constructor(readonly callbacks: readonly PipelineCallback[]) {
    super();
  }

  /** The tensors that any of them wants. */
  get tensorInputs(): TensorNames {
    return [...new Set(this.callbacks.flatMap(({ tensorInputs }) => tensorInputs))];
  }

  override async call(...[pipeline, step, timestep, given]: Parameters<CallbackOnStepEnd>): Promise<CallbackTensors> {
    let tensors = given;
    /** The pipeline disposes its own and takes the last ones; what was made between is nobody's. */
    const drop = (name: string, old: Entry, next?: Entry): void => {
      const kept = new Set([given[name as keyof CallbackTensors], next].flat());
      for (const tensor of [old].flat()) if (!kept.has(tensor)) tensor?.dispose();
    };
    try {
      for (const callback of this.callbacks) {
        const returned = (await callback(pipeline, step, timestep, tensors)) ?? {};
        for (const [name, next] of Object.entries(returned)) drop(name, tensors[name as keyof CallbackTensors], next);
        tensors = { ...tensors, ...returned };
      }
    } catch (error) {
      for (const [name, tensor] of Object.entries(tensors)) drop(name, tensor);
      throw error;
    }
    return tensors;
  }
}

/** Ends the guidance at a step: of each of its tensors the prompts' rows are left. */
abstract class GuidanceCutoff extends PipelineCallback {
  abstract override readonly tensorInputs: readonly ("prompt_embeds" | "add_text_embeds" | "add_time_ids")[];

  override callbackFn(
    pipeline: PromptPipeline,
    step: number,
    _timestep: number,
    tensors: CallbackTensors,
  ): CallbackTensors {
    const cutoff = this.cutoffStepIndex ?? Math.trunc(pipeline.numTimesteps * (this.cutoffStepRatio ?? 1));
    if (step !== cutoff || !tensors.prompt_embeds || !pipeline.doClassifierFreeGuidance) return tensors;
    pipeline.guidanceScale = 0;
    const { branches } = pipeline.guidance;
    const rest = { ...tensors };
    for (const name of this.tensorInputs) {
      const all = tensors[name];
      // diffusers keeps the last row, which fails for several pictures, and is not the prompt's of InstructPix2Pix.
      if (all) rest[name] = promptRows(branches, all, all.shape[0] / branches.length);
    }
    return rest;
  }
}

/**
 * Ends the guidance at a step: the model then computes half as much. Sets `pipeline.guidanceScale` to 0.
 * @example
 * await pipeline(prompt, { callbackOnStepEnd: new SDCFGCutoffCallback({ cutoffStepRatio: 0.4 }) });
 */
export class SDCFGCutoffCallback extends GuidanceCutoff {
  readonly tensorInputs = ["prompt_embeds"] as const;
}

/** SDCFGCutoffCallback for Stable Diffusion XL. */
export class SDXLCFGCutoffCallback extends GuidanceCutoff {
  readonly tensorInputs = ["prompt_embeds", "add_text_embeds", "add_time_ids"] as const;
}

/** Whether a callback says itself which tensors it wants. */
export const isPipelineCallback = (callback: unknown): callback is PipelineCallback | MultiPipelineCallbacks =>
  callback instanceof PipelineCallback || callback instanceof MultiPipelineCallbacks;
