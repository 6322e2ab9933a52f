/** What calls with ControlNets take besides; names and defaults as diffusers'. */
import type { OptionTable } from "../call/call_options.js";
import type { ControlImage } from "./control_images.js";

/** How ControlNets steer. */
export interface SteeringOptions {
  /**
   * How strongly the picture steers; of several ControlNets (or pictures of a ControlNetUnionModel) one number or a list. Default 1 where
   * noise is what the call begins with; with an `image` besides as in diffusers: 0.8, with a mask 0.5, of XL with a mask 1.
   */
  controlnetConditioningScale?: number | readonly number[];
  /** Lets the picture alone steer, with or without a prompt; guidanceScale 3 to 5 goes with it. Default false. */
  guessMode?: boolean;
  /** From which part of the steps on it steers, 0 to 1; of several ControlNets, or pictures, one number or a list. Default 0. */
  controlGuidanceStart?: number | readonly number[];
  /** Until which part of the steps. Default 1. */
  controlGuidanceEnd?: number | readonly number[];
}

/** What a call takes besides whose ControlNets are told what they read. */
export interface UnionOptions extends SteeringOptions {
  /**
   * What the ControlNetUnionModel reads: a picture, or a list of those that it reads together; of several models a list with one for each.
   * An entry of a list may be a list itself, with a picture for each prompt. They get the size that is drawn. Tensors, in [0, 1], are not
   * disposed.
   */
  controlImage: ControlImage | readonly ControlImage[];
  /**
   * The kind of the picture, of a list that of each, as the model's card numbers them. Of xinsir/controlnet-union-sdxl-1.0: 0 a pose, 1 depth,
   * 2 soft edges and scribbles, 3 edges and lines, 4 normals, 5 segments.
   */
  controlMode: number | readonly number[];
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
export const UNION_OPTIONS: OptionTable<Required<UnionOptions>> = {
  controlImage: false,
  controlMode: false,
  ...STEERING_OPTIONS,
};
