/** Arguments of a Stable Diffusion call, checked before anything is allocated; wording after diffusers' check_inputs. */
import { plainOptions } from "../../arguments/options.js";
import { shown } from "../../arguments/shown.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Device } from "../../tensor/device.js";
import { noTensor } from "../../tensor/no_tensor.js";
import { Tensor } from "../../tensor/tensor.js";
import type {
  ControlNetCallbackOptions,
  ControlNetCallbackTensors,
  EncodePromptOptions,
  Prompt,
  StableDiffusionOptions,
} from "../stable_diffusion/stable_diffusion_options.js";
import type { OptionTable } from "./call_options.js";
import { CALLBACK_TENSORS } from "./callback_tensors.js";
import { isPipelineCallback } from "./callbacks.js";

const IMAGE_TYPES = ["image", "pil", "np", "pt"];
const OUTPUT_TYPES = [...IMAGE_TYPES, "latent"];

export const CALL_OPTIONS: OptionTable<Required<StableDiffusionOptions>> = {
  negativePrompt: true,
  numInferenceSteps: false,
  guidanceScale: false,
  height: true,
  width: true,
  numImagesPerPrompt: false,
  eta: false,
  generator: true,
  latents: true,
  promptEmbeds: true,
  negativePromptEmbeds: true,
  outputType: false,
  callbackOnStepEnd: true,
  callbackOnStepEndTensorInputs: true,
  callback: true,
  callbackSteps: true,
  guidanceRescale: false,
  clipSkip: true,
  timesteps: true,
  sigmas: true,
  crossAttentionKwargs: true,
  ipAdapterImage: true,
  ipAdapterImageEmbeds: true,
  signal: true,
};

export const ENCODE_PROMPT_OPTIONS: OptionTable<Required<EncodePromptOptions>> = {
  numImagesPerPrompt: false,
  doClassifierFreeGuidance: false,
  negativePrompt: true,
  promptEmbeds: true,
  negativePromptEmbeds: true,
  clipSkip: true,
};

/** The options of a call as takeOptions() gives them, with callbacks of any pipeline. */
export type CallOptions = WithoutNulls<
  Omit<StableDiffusionOptions, keyof ControlNetCallbackOptions> & ControlNetCallbackOptions
>;

/** @throws RangeError or TypeError naming the argument and its value */
export function checkInputs(
  prompt: unknown,
  { height, width }: { height: number; width: number },
  options: CallOptions,
  device: Device,
  tensors?: readonly string[],
): void {
  checkSize({ height, width });
  checkPrompts(prompt, options, device, tensors);
  checkStart(options, device);
}

/** @throws RangeError */
export function checkSize({ height, width }: { height: number; width: number }): void {
  for (const [name, value] of Object.entries({ height, width })) checkCount(name, value);
  if (height % 8 !== 0 || width % 8 !== 0)
    throw new RangeError(`\`height\` and \`width\` have to be divisible by 8 but are ${height} and ${width}.`);
}

/** What a call begins with. */
export function checkStart({ latents, generator }: CallOptions, device: Device): void {
  checkTensor("latents", latents, ["batch", "channels", "height", "width"], device);
  checkGeneratorTypes(generator);
}

/**
 * The part of it that encodePrompt() needs.
 * @param tensors that the pipeline's callbacks may ask for
 */
export function checkPrompts(
  prompt: unknown,
  options: CallOptions,
  device: Device,
  tensors: readonly string[] = CALLBACK_TENSORS,
): void {
  const { negativePrompt, promptEmbeds, negativePromptEmbeds } = options;
  checkText("prompt", prompt);
  checkText("negativePrompt", negativePrompt);
  if (prompt != null && promptEmbeds)
    throw new TypeError(
      "Cannot forward both `prompt` and `promptEmbeds`. Please make sure to only forward one of the two.",
    );
  if (prompt == null && !promptEmbeds)
    throw new TypeError(
      "Provide either `prompt` or `promptEmbeds`. Cannot leave both `prompt` and `promptEmbeds` undefined.",
    );
  if (negativePrompt != null && negativePromptEmbeds)
    throw new TypeError(
      "Cannot forward both `negativePrompt` and `negativePromptEmbeds`. Please make sure to only forward one of the two.",
    );
  checkTensor("promptEmbeds", promptEmbeds, ["batch", "tokens", "width"], device);
  checkTensor("negativePromptEmbeds", negativePromptEmbeds, ["batch", "tokens", "width"], device);
  if (promptEmbeds && negativePromptEmbeds && promptEmbeds.shape.join() !== negativePromptEmbeds.shape.join())
    throw new RangeError(
      "`promptEmbeds` and `negativePromptEmbeds` must have the same shape when passed directly, but got: " +
        `[${promptEmbeds.shape.join(", ")}] != [${negativePromptEmbeds.shape.join(", ")}].`,
    );
  checkNumbers(options);
  const names = callbackTensorInputs(options);
  if (!Array.isArray(names)) refuse("callbackOnStepEndTensorInputs", "a list of names", names);
  for (const name of names)
    if (!tensors.includes(name)) refuse("callbackOnStepEndTensorInputs", `of ${tensors.join(", ")}`, name);
}

/** What guidance leads away from goes with the prompts. Where nothing is guided, as in diffusers, nobody looks at it. */
export function checkNegativePrompt(prompt: unknown, negativePrompt: unknown): void {
  if (prompt == null || negativePrompt == null) return;
  if (Array.isArray(prompt) !== Array.isArray(negativePrompt))
    throw new TypeError(
      `\`negativePrompt\` should be the same type to \`prompt\`, but got ${kind(negativePrompt)} != ${kind(prompt)}.`,
    );
  if (Array.isArray(prompt) && Array.isArray(negativePrompt) && prompt.length !== negativePrompt.length)
    throw new RangeError(
      `\`negativePrompt\` has batch size ${negativePrompt.length}, but \`prompt\` has batch size ${prompt.length}.`,
    );
}

/** How many prompts there are. */
export const promptCount = (prompt: Prompt | undefined, { promptEmbeds }: CallOptions): number =>
  typeof prompt === "string" ? 1 : (prompt?.length ?? promptEmbeds?.shape[0] ?? 1);

/** The tensors that a callback wants; an object says so itself. */
export const callbackTensorInputs = (options: CallOptions): readonly (keyof ControlNetCallbackTensors)[] =>
  isPipelineCallback(options.callbackOnStepEnd)
    ? options.callbackOnStepEnd.tensorInputs
    : (options.callbackOnStepEndTensorInputs ?? ["latents"]);

/** The arguments of decodeLatents(). @throws RangeError or TypeError naming the argument and its value */
export function checkLatents(latents: unknown, outputType: unknown, device: Device): void {
  checkTensor("latents", latents ?? null, ["batch", "channels", "height", "width"], device);
  checkOutputType(outputType, IMAGE_TYPES);
}

function checkOutputType(outputType: unknown, known: readonly string[]): void {
  if (!known.includes(outputType as string))
    throw new RangeError(`\`outputType\` must be one of ${known.join(", ")}, got ${shown(outputType)}`);
}

/** A number that is infinite in float32 makes every picture black. @throws RangeError naming the argument */
export function checkFinite(name: string, value: unknown): void {
  if (typeof value === "number" && Number.isFinite(Math.fround(value))) return;
  const why = Number.isFinite(value) ? ", which is infinite in float32" : "";
  throw new RangeError(`\`${name}\` must be a finite number, got ${shown(value)}${why}`);
}

export function checkTensor(name: string, tensor: unknown, axes: readonly string[], device: Device): void {
  if (tensor === undefined) return;
  const wanted = `\`${name}\` must be a Tensor [${axes.join(", ")}] of floats on the pipeline's device`;
  if (!(tensor instanceof Tensor)) throw new TypeError(`${wanted}, got ${noTensor(tensor)}`);
  if (tensor.shape.length !== axes.length || tensor.dtype === "int32")
    throw new RangeError(`${wanted}, got ${String(tensor)}`);
  if (tensor.device !== device) throw new TypeError(`${wanted}, but it is on another device`);
}

function refuse(name: string, rule: string, value: unknown): never {
  throw new RangeError(`\`${name}\` must be ${rule}, got ${shown(value)}`);
}

/** @throws RangeError for what is no number of things */
export function checkCount(name: string, value: unknown): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1) refuse(name, "a positive integer", value);
}

/** All that says how many and how much. */
export function checkNumbers(options: CallOptions): void {
  const { numInferenceSteps: steps, numImagesPerPrompt: count, clipSkip, outputType } = options;
  if (steps !== undefined) checkCount("numInferenceSteps", steps);
  if (count !== undefined) checkCount("numImagesPerPrompt", count);
  if (clipSkip != null && (!Number.isSafeInteger(clipSkip) || clipSkip < 0))
    refuse("clipSkip", "a non-negative integer", clipSkip);
  for (const name of ["guidanceScale", "guidanceRescale", "eta"] as const)
    if (options[name] !== undefined) checkFinite(name, options[name]);
  if (outputType !== undefined) checkOutputType(outputType, OUTPUT_TYPES);
  const { crossAttentionKwargs: more, callbackSteps: every } = options;
  const { scale, ...others } = plainOptions(more, ["scale"], "crossAttentionKwargs");
  if (scale != null) checkFinite("crossAttentionKwargs.scale", scale);
  if (Object.keys(others).length > 0)
    console.warn(`crossAttentionKwargs: only scale is known, ignored: ${Object.keys(others).join(", ")}`);
  for (const name of ["callbackOnStepEnd", "callback"] as const)
    if (options[name] !== undefined && typeof options[name] !== "function")
      throw new TypeError(`\`${name}\` must be a function, got ${shown(options[name])}`);
  if (every !== undefined) checkCount("callbackSteps", every);
  if (options.timesteps && options.sigmas)
    throw new TypeError("Only one of `timesteps` or `sigmas` can be passed. Please choose one to set custom values");
}

const kind = (value: unknown): string => (Array.isArray(value) ? "a list" : `a ${typeof value}`);

export function checkText(name: string, value: unknown): void {
  if (value == null || typeof value === "string") return;
  if (Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")) return;
  throw new TypeError(`\`${name}\` has to be a string or a list of strings but is ${shown(value)}`);
}
