/** What a call with ControlNets is given, checked, and what it makes of it; whatever it begins with. */
import { shown } from "../../arguments/shown.js";
import { MultiControlNetModel } from "../../nn/controlnet/multi_controlnet.js";
import type { OptionTable } from "../call/call_options.js";
import { promptCount, type CallOptions } from "../call/check_inputs.js";
import type { Planes } from "../images/planes.js";
import { needComponent } from "../loading/needed_components.js";
import type { Beginning, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkControlImages, checkControls, expectSameTrunk } from "./check_controlnet.js";
import { controlPlanes, controlTensor, type ControlImage, type ControlSizing } from "./control_images.js";
import { CONTROLNET_KINDS, type ControlNets } from "./controlnet_component.js";
import { Controls } from "./controls.js";

/** How ControlNets steer. */
export interface SteeringOptions {
  /**
   * How strongly the picture steers; of several ControlNets one number or a list. Default 1 where noise is what the call begins with; with
   * an `image` besides as in diffusers: 0.8, with a mask 0.5, of XL with a mask 1.
   */
  controlnetConditioningScale?: number | readonly number[];
  /** Lets the picture alone steer, with or without a prompt; guidanceScale 3 to 5 goes with it. Default false. */
  guessMode?: boolean;
  /** From which part of the steps on it steers, 0 to 1; of several ControlNets one number or a list. Default 0. */
  controlGuidanceStart?: number | readonly number[];
  /** Until which part of the steps. Default 1. */
  controlGuidanceEnd?: number | readonly number[];
}

/** What a call takes besides that begins with something else than what its ControlNets read. */
export interface ControlImageOptions extends SteeringOptions {
  /**
   * What the ControlNet reads (edges, depth, a pose): one picture, or one for each prompt. Of several ControlNets a list with an entry
   * for each of them, or a list for each prompt with a picture for each of them. They get the size that is drawn. Tensors, in [0, 1],
   * are not disposed.
   */
  controlImage: ControlImage | readonly ControlImage[];
}

export const STEERING_OPTIONS: OptionTable<Required<SteeringOptions>> = {
  controlnetConditioningScale: false,
  guessMode: false,
  controlGuidanceStart: false,
  controlGuidanceEnd: false,
};
export const CONTROL_IMAGE_OPTIONS: OptionTable<Required<ControlImageOptions>> = {
  controlImage: false,
  ...STEERING_OPTIONS,
};

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

/** Where the pictures are, and whether results that are one for all pixels (global_pool_conditions) steer the prompts alone. */
interface Steering {
  argument: "image" | "controlImage";
  pooledGuess?: boolean;
}

/**
 * @param options those of prompts are checked
 * @throws RangeError, TypeError for wrong arguments, and for ControlNets that are missing or of another UNet
 */
export function controlCall(
  pipeline: LatentDiffusion & { controlnet: ControlNets },
  prompt: Prompt,
  { argument, pooledGuess = true }: Steering,
  options: CallOptions & SteeringOptions & Partial<Record<"image" | "controlImage", unknown>>,
): ControlCall {
  const { className, device, unet, controlnet } = pipeline;
  needComponent(className, "controlnet", controlnet, {
    classes: CONTROLNET_KINDS,
    purpose: "to read the guiding picture",
  });
  const isList = controlnet instanceof MultiControlNetModel;
  const models = isList ? controlnet.nets : [controlnet];
  for (const model of models) expectSameTrunk(className, unet, model);
  const { guessMode = false, numImagesPerPrompt: each = 1, ...given } = options;
  if (typeof guessMode !== "boolean")
    throw new TypeError(`\`guessMode\` must be true or false, got ${shown(guessMode)}`);
  const { controlnetConditioningScale = 1, controlGuidanceStart = 0, controlGuidanceEnd = 1 } = given;
  const nets = checkControls(models, isList, { controlnetConditioningScale, controlGuidanceStart, controlGuidanceEnd });
  const prompts = promptCount(prompt, options);
  const images = checkControlImages(given[argument], { argument, isList, nets: nets.length, prompts, device });
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
