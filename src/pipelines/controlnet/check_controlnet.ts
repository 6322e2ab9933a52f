/** Arguments of a call with ControlNets, checked and brought into one form: those of check_inputs.ts are the others. */
import { shown } from "../../arguments/shown.js";
import type { ControlNetTrunk } from "../../nn/controlnet/controlnet_trunk.js";
import { MultiControlNetModel } from "../../nn/controlnet/multi_controlnet.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { contextWidth } from "../../nn/unet/unet_2d_condition_options.js";
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkFinite } from "../call/check_inputs.js";
import { checkImages, type ImageInput } from "../images/image_processor.js";
import { listOf } from "../images/pixels.js";
import type { ControlImage } from "./control_images.js";
import type { ControlNets } from "./controlnet_component.js";
import type { NetOfCall, PictureOfCall } from "./controls.js";

/** As they were given. */
export interface ControlArguments {
  controlnetConditioningScale: unknown;
  controlGuidanceStart: unknown;
  controlGuidanceEnd: unknown;
}

/** What nets read, how, and whether callbacks get it as a list. */
export interface ReadOfCall {
  nets: NetOfCall[];
  images: ControlImage[];
  isList: boolean;
}

/** As which the caller gave the pictures, for how many prompts, and where. */
export interface ReadFor {
  argument: string;
  prompts: number;
  device: Device;
}

/** @throws RangeError, TypeError naming the argument and its value, before anything is drawn */
export function checkControls(
  controlnet: ControlNets,
  image: unknown,
  numbers: ControlArguments,
  call: ReadFor,
): ReadOfCall {
  const isList = controlnet instanceof MultiControlNetModel;
  if (!isList && Array.isArray(numbers.controlnetConditioningScale))
    throw new TypeError(
      `\`controlnetConditioningScale\` must be a number for a single ControlNet, got ${shown(numbers.controlnetConditioningScale)}`,
    );
  const models = isList ? controlnet.nets : [controlnet];
  const pictures = checkNumbers(numbers, models.length, "ControlNets");
  const images = isList ? imagesOfNets(call.argument, image, models.length) : [image];
  for (const each of images) checkControlImage(each, call);
  return {
    nets: models.map((net, i) => ({ net, pictures: [pictures[i]] })),
    images: images as ControlImage[],
    isList,
  };
}

/**
 * @param count of pictures
 * @param of what has one each, for messages
 */
export function checkNumbers(
  { controlnetConditioningScale, controlGuidanceStart, controlGuidanceEnd }: ControlArguments,
  count: number,
  of: string,
): PictureOfCall[] {
  const [scales, starts, ends] = Object.entries({
    controlnetConditioningScale,
    controlGuidanceStart,
    controlGuidanceEnd,
  }).map(([name, value]) => perPicture(name, value, count, of));
  return scales.map((scale, i) => {
    const [start, end] = [starts[i], ends[i]];
    if (start >= end)
      throw new RangeError(
        `\`controlGuidanceStart\` must be less than \`controlGuidanceEnd\`, got ${start} and ${end}`,
      );
    if (start < 0) throw new RangeError(`\`controlGuidanceStart\` must be from 0 to 1, got ${start}`);
    if (end > 1) throw new RangeError(`\`controlGuidanceEnd\` must be from 0 to 1, got ${end}`);
    return { scale, start, end };
  });
}

/** A number for all, or one for each. */
function perPicture(name: string, value: unknown, count: number, of: string): number[] {
  const list: unknown[] = Array.isArray(value) ? value : new Array<unknown>(count).fill(value);
  if (list.length !== count)
    throw new RangeError(`\`${name}\` must be a number, or one for each of ${count} ${of}, got ${shown(value)}`);
  for (const each of list) checkFinite(name, each);
  return list as number[];
}

/** The pictures that one net reads as one: one, or one for each prompt. */
export function checkControlImage(
  image: unknown,
  { argument, prompts, device }: ReadFor,
): asserts image is ControlImage {
  checkImages(image, device, argument);
  const count = (listOf(image) as ImageInput[]).reduce((sum, one) => sum + rowsOf(one), 0);
  if (count !== 1 && count !== prompts)
    throw new RangeError(
      `\`${argument}\` must be one picture, or one for each prompt, got ${count} for ${prompts} ${prompts === 1 ? "prompt" : "prompts"}`,
    );
}

/** An entry for each net, or a list for each prompt with a picture for each net. */
function imagesOfNets(argument: string, image: unknown, nets: number): unknown[] {
  if (!Array.isArray(image))
    throw new TypeError(
      `\`${argument}\` must be a list with an entry for each of ${nets} ControlNets, got ${image instanceof Tensor ? String(image) : shown(image)}`,
    );
  const isNested = image.some((each) => Array.isArray(each));
  const rows = (isNested ? image : [image]) as unknown[];
  const wrong = rows.find((row) => !Array.isArray(row) || row.length !== nets);
  if (wrong !== undefined)
    throw new RangeError(
      `\`${argument}\` must have an entry for each of ${nets} ControlNets${isNested ? " in each of its lists" : ""}, got ` +
        (Array.isArray(wrong) ? String(wrong.length) : shown(wrong)),
    );
  if (!isNested) return image as unknown[];
  return Array.from({ length: nets }, (_, k) => (rows as unknown[][]).map((row) => row[k]));
}

const rowsOf = (image: ImageInput): number =>
  image instanceof Tensor && image.shape.length === 4 ? image.shape[0] : 1;

/** @throws RangeError for a side that is none, or less than one latent */
export function checkSides(sides: { height?: unknown; width?: unknown }, scaleFactor: number): void {
  for (const [name, side] of Object.entries(sides))
    if (side !== undefined && (!Number.isSafeInteger(side) || (side as number) < scaleFactor))
      throw new RangeError(`\`${name}\` must be a whole number from ${scaleFactor} on, got ${shown(side)}`);
}

/** @throws RangeError naming what of a ControlNet does not go with the UNet: it is a copy of the half of another one */
export function expectSameTrunk(className: string, unet: UNet2DConditionModel, net: ControlNetTrunk): void {
  const wanted = {
    // Of latents: a UNet for inpainting takes a mask and a picture besides, which nets do not see.
    in_channels: Math.min(unet.config.in_channels, unet.config.out_channels),
    block_out_channels: unet.config.block_out_channels,
    cross_attention_dim: contextWidth(unet.config),
  };
  for (const [key, value] of Object.entries(wanted)) {
    const given = net.config[key as keyof typeof wanted];
    if (String(given) === String(value)) continue;
    throw new RangeError(
      `${className}: the ControlNet was trained for another UNet: its config has ${key} = ${shown(given)}, but this UNet ${shown(value)}`,
    );
  }
}
