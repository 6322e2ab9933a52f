/** The ControlNets of a pipeline, as they are given and kept. */
import { ControlNetModel } from "../../nn/controlnet/controlnet.js";
import { ControlNetUnionModel } from "../../nn/controlnet/controlnet_union.js";
import { MultiControlNetModel } from "../../nn/controlnet/multi_controlnet.js";
import { MultiControlNetUnionModel } from "../../nn/controlnet/multi_controlnet_union.js";
import { listOf } from "../images/pixels.js";
import type { ComponentClass } from "../loading/given_components.js";

export type ControlNets = ControlNetModel | MultiControlNetModel;
export type ControlNetUnions = ControlNetUnionModel | MultiControlNetUnionModel;

/** A component besides those of Stable Diffusion. */
export type ControlNetComponent = {
  /** One, or a list of those that steer together. */
  controlnet: ControlNets | readonly ControlNetModel[] | null;
};

/** The same of unions of ControlNets. */
export type ControlNetUnionComponent = {
  /** One, which may read several pictures, or a list of those that steer together, each with one picture. */
  controlnet: ControlNetUnions | readonly ControlNetUnionModel[] | null;
};

export const CONTROLNET_KINDS = [ControlNetModel, MultiControlNetModel];
export const UNION_KINDS = [ControlNetUnionModel, MultiControlNetUnionModel];

const anyOf = (kinds: readonly ComponentClass[]): ComponentClass => ({
  className: kinds[0].className,
  [Symbol.hasInstance]: (value) =>
    kinds.some((Kind) => listOf(value).every((each: unknown) => each instanceof (Kind as never))),
});

/** For `componentClasses`. */
export const ANY_CONTROLNET = anyOf(CONTROLNET_KINDS);
export const ANY_UNION = anyOf(UNION_KINDS);

/** A list as one model; null stays null, whatever the type says: calls say that they need one. */
export function controlNetsOf({ controlnet }: ControlNetComponent): ControlNets {
  return (
    Array.isArray(controlnet) ? new MultiControlNetModel(controlnet as ControlNetModel[]) : controlnet
  ) as ControlNets;
}

/** The same of unions. */
export function controlNetUnionsOf({ controlnet }: ControlNetUnionComponent): ControlNetUnions {
  return (
    Array.isArray(controlnet) ? new MultiControlNetUnionModel(controlnet as ControlNetUnionModel[]) : controlnet
  ) as ControlNetUnions;
}
