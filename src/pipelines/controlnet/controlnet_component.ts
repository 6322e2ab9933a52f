/** The ControlNets of a pipeline, as they are given and kept. */
import { ControlNetModel } from "../../nn/controlnet/controlnet.js";
import { MultiControlNetModel } from "../../nn/controlnet/multi_controlnet.js";
import { listOf } from "../images/pixels.js";
import type { ComponentClass } from "../loading/given_components.js";

export type ControlNets = ControlNetModel | MultiControlNetModel;

/** A component besides those of Stable Diffusion. */
export type ControlNetComponent = {
  /** One, or a list of those that steer together. */
  controlnet: ControlNets | readonly ControlNetModel[] | null;
};

export const CONTROLNET_KINDS = [ControlNetModel, MultiControlNetModel];

/** For `componentClasses`. */
export const ANY_CONTROLNET: ComponentClass = {
  className: ControlNetModel.className,
  [Symbol.hasInstance]: (value) =>
    CONTROLNET_KINDS.some((Kind) => listOf(value).every((each: unknown) => each instanceof Kind)),
};

/** A list as one model; null stays null, whatever the type says: calls say that they need one. */
export function controlNetsOf({ controlnet }: ControlNetComponent): ControlNets {
  return (
    Array.isArray(controlnet) ? new MultiControlNetModel(controlnet as ControlNetModel[]) : controlnet
  ) as ControlNets;
}
