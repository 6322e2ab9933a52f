/** What a call with ControlNets is given, checked, and what it makes of it; whatever it begins with. */
import { shown } from "../../arguments/shown.js";
import { ControlNetUnionModel } from "../../nn/controlnet/controlnet_union.js";
import { MultiControlNetUnionModel } from "../../nn/controlnet/multi_controlnet_union.js";
import { promptCount, type CallOptions } from "../call/check_inputs.js";
import type { Planes } from "../images/planes.js";
import type { ComponentClass } from "../loading/given_components.js";
import { needComponent } from "../loading/needed_components.js";
import type { Beginning, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkControls, expectSameTrunk } from "./check_controlnet.js";
import { checkUnions } from "./check_controlnet_union.js";
import { controlPlanes, controlTensor, type ControlSizing } from "./control_images.js";
import type { ControlNets, ControlNetUnions } from "./controlnet_component.js";
import { Controls } from "./controls.js";
import type { SteeringOptions } from "./steering_options.js";

export interface ControlCall {
  /** The pictures that the nets read, of one size. */
  planes: (sizing: Omit<ControlSizing, "argument">) => Promise<Planes[]>;
  /**
   * What a run begins with, and the controls; they are freed where that fails.
   * @param batch pictures that are drawn
   * @param steps that the parts of control are of
   */
  begin: (
    planes: readonly Planes[],
    how: { batch: number; steps: number },
    rest: () => Beginning | Promise<Beginning>,
  ) => Promise<Beginning>;
}

interface Steering {
  /** Where the pictures are. */
  argument: "image" | "controlImage";
  /** Whether results that are one for all pixels (global_pool_conditions) steer the prompts alone. */
  pooledGuess?: boolean;
}

/** Pipelines whose calls are steered. */
export type Steered = LatentDiffusion & {
  readonly controlnet: ControlNets | ControlNetUnions;
  readonly controlNetKinds: readonly ComponentClass[];
};

/**
 * @param options those of prompts are checked
 * @throws RangeError, TypeError for wrong arguments, and for ControlNets that are missing or of another UNet
 */
export function controlCall(
  pipeline: Steered,
  prompt: Prompt,
  { argument, pooledGuess = true }: Steering,
  options: CallOptions & SteeringOptions & Partial<Record<"image" | "controlImage" | "controlMode", unknown>>,
): ControlCall {
  const { className, device, unet, controlnet } = pipeline;
  needComponent(className, "controlnet", controlnet, {
    classes: pipeline.controlNetKinds,
    purpose: "to read the guiding picture",
  });
  const models = "nets" in controlnet ? controlnet.nets : [controlnet];
  for (const model of models) expectSameTrunk(className, unet, model);
  const { guessMode = false, numImagesPerPrompt: each = 1, ...given } = options;
  if (typeof guessMode !== "boolean")
    throw new TypeError(`\`guessMode\` must be true or false, got ${shown(guessMode)}`);
  const { controlnetConditioningScale = 1, controlGuidanceStart = 0, controlGuidanceEnd = 1 } = given;
  const numbers = { controlnetConditioningScale, controlGuidanceStart, controlGuidanceEnd };
  const call = { argument, prompts: promptCount(prompt, options), device };
  const { nets, images, isList } =
    controlnet instanceof ControlNetUnionModel || controlnet instanceof MultiControlNetUnionModel
      ? checkUnions(controlnet, { controlImage: given.controlImage, controlMode: given.controlMode, ...numbers }, call)
      : checkControls(controlnet, given[argument], numbers, call);
  const guess = guessMode || (pooledGuess && models[0].config.global_pool_conditions);
  const tensorName = argument === "image" ? "image" : "control_image";
  return {
    planes: (sizing) => controlPlanes(images, { ...sizing, argument }),
    begin: async (planes, { batch, steps }, rest) => {
      const twice = pipeline.doClassifierFreeGuidance && !guess;
      const tensors = device.scope(() => planes.map((of) => controlTensor(device, of, { batch, each, twice })));
      const controls = new Controls(nets, tensors, { guessMode: guess, isList, steps, tensorName });
      try {
        return { ...(await rest()), controls };
      } catch (error) {
        controls.dispose();
        throw error;
      }
    },
  };
}
