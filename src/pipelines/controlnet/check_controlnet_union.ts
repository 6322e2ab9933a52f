/** Arguments of a call with ControlNetUnionModels, checked and brought into one form: those of check_controlnet.ts are the others. */
import { shown } from "../../arguments/shown.js";
import type { ControlNetUnionModel } from "../../nn/controlnet/controlnet_union.js";
import { MultiControlNetUnionModel } from "../../nn/controlnet/multi_controlnet_union.js";
import {
  checkControlImage,
  checkNumbers,
  type ControlArguments,
  type ReadFor,
  type ReadOfCall,
} from "./check_controlnet.js";
import type { ControlImage } from "./control_images.js";
import type { ControlNetUnions } from "./controlnet_component.js";

/** As they were given. */
export interface UnionArguments extends ControlArguments {
  controlImage: unknown;
  controlMode: unknown;
}

/**
 * One model reads all pictures, of several each reads one.
 * @throws RangeError, TypeError naming the argument and its value, before anything is drawn
 */
export function checkUnions(
  controlnet: ControlNetUnions,
  { controlImage, controlMode, ...numbers }: UnionArguments,
  call: ReadFor,
): ReadOfCall {
  const isMulti = controlnet instanceof MultiControlNetUnionModel;
  const given: unknown[] = Array.isArray(controlImage) ? controlImage : [controlImage];
  const modes: unknown[] = Array.isArray(controlMode) ? controlMode : [controlMode];
  if (given.length === 0) throw new RangeError("`controlImage` must be a picture, or a list of them, got []");
  if (isMulti && given.length !== controlnet.nets.length)
    throw new RangeError(
      `\`controlImage\` must be a list with an entry for each of ${controlnet.nets.length} ControlNets, got ${given.length}`,
    );
  const images = given.map((each): ControlImage => {
    checkControlImage(each, call);
    return each;
  });
  if (modes.length !== images.length)
    throw new RangeError(
      `\`controlMode\` must have as many entries as \`controlImage\`, got ${modes.length} and ${images.length}`,
    );
  const netOf = (i: number): ControlNetUnionModel => (isMulti ? controlnet.nets[i] : controlnet);
  const pictures = checkNumbers(numbers, images.length, "pictures").map((numbers, i) => ({
    ...numbers,
    mode: checkMode(modes[i], netOf(i)),
  }));
  const nets = isMulti
    ? controlnet.nets.map((net, i) => ({ net, pictures: [pictures[i]] }))
    : [{ net: controlnet, pictures }];
  return { nets, images, isList: true };
}

function checkMode(mode: unknown, { config }: ControlNetUnionModel): number {
  const { num_control_type: kinds } = config;
  if (Number.isInteger(mode) && (mode as number) >= 0 && (mode as number) < kinds) return mode as number;
  throw new RangeError(
    `\`controlMode\` must be a whole number lower than ${kinds} (num_control_type) for each picture, got ${shown(mode)}`,
  );
}
