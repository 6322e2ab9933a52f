/** What callbackOnStepEnd gets and gives back. */
import { shown } from "../../arguments/shown.js";
import { noTensor } from "../../tensor/no_tensor.js";
import { Tensor } from "../../tensor/tensor.js";
import { listOf } from "../images/pixels.js";
import type { CallbackTensors, ControlNetCallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";

export const CALLBACK_TENSORS = ["latents", "prompt_embeds", "negative_prompt_embeds"] as const;
export const LCM_TENSORS = ["latents", "denoised", "prompt_embeds", "w_embedding"] as const;
export const INPAINT_TENSORS = [...CALLBACK_TENSORS, "mask", "masked_image_latents"] as const;
export const DEPTH_TENSORS = [...CALLBACK_TENSORS, "depth_mask"] as const;
export const EDIT_TENSORS = ["latents", "prompt_embeds", "image_latents"] as const;
export const XL_TENSORS = ["latents", "prompt_embeds", "add_text_embeds", "add_time_ids"] as const;
export const XL_EDIT_TENSORS = [...XL_TENSORS, "image_latents"] as const;
export const XL_INPAINT_TENSORS = [...XL_TENSORS, "mask", "masked_image_latents"] as const;
export const CONTROLNET_TENSORS = [...CALLBACK_TENSORS, "image"] as const;
export const CONTROLNET_IMG2IMG_TENSORS = [...CALLBACK_TENSORS, "control_image"] as const;
export const CONTROLNET_INPAINT_TENSORS = [...INPAINT_TENSORS, "control_image"] as const;
const XL_STEERED_TENSORS = [...XL_TENSORS, "negative_prompt_embeds"] as const;
export const XL_CONTROLNET_TENSORS = [...XL_STEERED_TENSORS, "image"] as const;
export const XL_CONTROLNET_IMG2IMG_TENSORS = [...XL_STEERED_TENSORS, "control_image"] as const;
export const XL_CONTROLNET_INPAINT_TENSORS = [
  ...XL_CONTROLNET_IMG2IMG_TENSORS,
  "mask",
  "masked_image_latents",
] as const;
export const XL_UNION_IMG2IMG_TENSORS = [...XL_TENSORS, "control_image"] as const;
export const XL_UNION_INPAINT_TENSORS = [...XL_TENSORS, "mask", "control_image"] as const;
const ALL_TENSORS = [
  ...new Set([
    ...[...INPAINT_TENSORS, ...XL_CONTROLNET_TENSORS, ...LCM_TENSORS],
    ...(["control_image", "image_latents", "depth_mask"] as const),
  ]),
];

export const pick = (
  tensors: ControlNetCallbackTensors,
  names: readonly (keyof ControlNetCallbackTensors)[],
): ControlNetCallbackTensors => Object.fromEntries(names.map((name) => [name, tensors[name]]));

/** Those of a callback that took effect; images as a list. */
export type Returned = Partial<
  Record<keyof CallbackTensors, Tensor> & Record<"image" | "control_image", readonly Tensor[]>
>;

/**
 * The tensors that a callback returned. Embeddings are checked by the UNet: their batch may change, with the guidance.
 * @param latents those that it may replace
 * @throws TypeError, RangeError naming what was returned
 */
export function takeReturned(returned: unknown, latents: Tensor): Returned {
  if (returned === undefined || returned === null) return {};
  if (
    typeof returned !== "object" ||
    returned instanceof Tensor ||
    Array.isArray(returned) ||
    ArrayBuffer.isView(returned)
  )
    throw new TypeError(
      `callbackOnStepEnd: must return an object of tensors such as { latents } or nothing, got ${shown(returned)}`,
    );
  const taken: Returned = {};
  const take = (name: string, value: unknown): Tensor => {
    if (!(value instanceof Tensor))
      throw new TypeError(`callbackOnStepEnd: the returned ${name} must be a Tensor, got ${noTensor(value)}`);
    if (value.device !== latents.device)
      throw new TypeError(
        `callbackOnStepEnd: the returned ${name} must be on the pipeline's device, but is on another`,
      );
    return value;
  };
  for (const name of ALL_TENSORS) {
    const value = (returned as Record<string, unknown>)[name];
    if (value === undefined || value === null) continue;
    if (name === "image" || name === "control_image") taken[name] = listOf(value).map((each) => take(name, each));
    else taken[name] = take(name, value);
  }
  for (const name of ["latents", "denoised"] as const) {
    const next = taken[name];
    if (next && next.shape.join() !== latents.shape.join())
      throw new RangeError(
        `callbackOnStepEnd: the returned ${name} must be [${latents.shape.join(", ")}], got [${next.shape.join(", ")}]`,
      );
  }
  return taken;
}

/** `next` in place of `old`, which is disposed; `old` where there is none. */
export function replace(old: Tensor, next: Tensor | undefined): Tensor {
  if (!next || next === old) return old;
  old.dispose();
  return next;
}
