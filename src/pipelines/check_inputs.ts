/** Arguments of a Stable Diffusion call, checked before anything is allocated; wording after diffusers' check_inputs. */
import { Tensor } from "../tensor/tensor.js";
import type { StableDiffusionOptions } from "./stable_diffusion_options.js";

const OUTPUT_TYPES = ["image", "pil", "np", "pt", "latent"];
export const CALLBACK_TENSORS = ["latents", "prompt_embeds", "negative_prompt_embeds"];

/** @throws RangeError or TypeError naming the argument and its value */
export function checkInputs(prompt: unknown, height: number, width: number, options: StableDiffusionOptions): void {
  const { negativePrompt, promptEmbeds, negativePromptEmbeds } = options;
  for (const [name, value] of Object.entries({ height, width }))
    if (!Number.isSafeInteger(value) || value <= 0)
      throw new RangeError(`\`${name}\` must be a positive integer, got ${value}`);
  if (height % 8 !== 0 || width % 8 !== 0)
    throw new RangeError(`\`height\` and \`width\` have to be divisible by 8 but are ${height} and ${width}.`);

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
  if (prompt != null && negativePrompt != null && Array.isArray(prompt) !== Array.isArray(negativePrompt))
    throw new TypeError(
      `\`negativePrompt\` should be the same type to \`prompt\`, but got ${kind(negativePrompt)} != ${kind(prompt)}.`,
    );
  if (Array.isArray(prompt) && Array.isArray(negativePrompt) && prompt.length !== negativePrompt.length)
    throw new RangeError(
      `\`negativePrompt\` has batch size ${negativePrompt.length}, but \`prompt\` has batch size ${prompt.length}.`,
    );
  if (promptEmbeds && negativePromptEmbeds && promptEmbeds.shape.join() !== negativePromptEmbeds.shape.join())
    throw new RangeError(
      "`promptEmbeds` and `negativePromptEmbeds` must have the same shape when passed directly, but got: " +
        `[${promptEmbeds.shape.join(", ")}] != [${negativePromptEmbeds.shape.join(", ")}].`,
    );
  checkNumbers(options);
}

function checkNumbers(options: StableDiffusionOptions): void {
  const { numInferenceSteps: steps, numImagesPerPrompt: count, clipSkip, outputType } = options;
  const refuse = (name: string, rule: string, value: unknown): never => {
    throw new RangeError(`\`${name}\` must be ${rule}, got ${JSON.stringify(value) ?? String(value)}`);
  };
  if (steps !== undefined && (!Number.isSafeInteger(steps) || steps < 1))
    refuse("numInferenceSteps", "a positive integer", steps);
  if (count !== undefined && (!Number.isSafeInteger(count) || count < 1))
    refuse("numImagesPerPrompt", "a positive integer", count);
  if (clipSkip != null && (!Number.isSafeInteger(clipSkip) || clipSkip < 0))
    refuse("clipSkip", "a non-negative integer", clipSkip);
  for (const name of ["guidanceScale", "guidanceRescale", "eta"] as const)
    if (options[name] !== undefined && !Number.isFinite(options[name])) refuse(name, "a finite number", options[name]);
  if (outputType !== undefined && !OUTPUT_TYPES.includes(outputType))
    refuse("outputType", `one of ${OUTPUT_TYPES.join(", ")}`, outputType);
  for (const name of options.callbackOnStepEndTensorInputs ?? [])
    if (!CALLBACK_TENSORS.includes(name))
      refuse("callbackOnStepEndTensorInputs", `of ${CALLBACK_TENSORS.join(", ")}`, name);
  if (options.timesteps && options.sigmas)
    throw new TypeError("Only one of `timesteps` or `sigmas` can be passed. Please choose one to set custom values");
  if (options.latents && !(options.latents instanceof Tensor))
    throw new TypeError("`latents` must be a Tensor [batch, channels, height, width]");
}

const kind = (value: unknown): string => (Array.isArray(value) ? "a list" : `a ${typeof value}`);

function checkText(name: string, value: unknown): void {
  if (value == null || typeof value === "string") return;
  if (Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")) return;
  throw new TypeError(
    `\`${name}\` has to be a string or a list of strings but is ${JSON.stringify(value)?.slice(0, 100) ?? String(value)}`,
  );
}
