/** Arguments of a Stable Diffusion XL call besides those of Stable Diffusion, checked; wording after diffusers' check_inputs. */
import { shown } from "../../arguments/shown.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import type { Device } from "../../tensor/device.js";
import { checkFinite, checkTensor, checkText, type CallOptions } from "../call/check_inputs.js";
import type { Prompt, StableDiffusionOptions } from "../stable_diffusion/stable_diffusion_options.js";
import type { XLOptions, XLPictureOptions } from "./stable_diffusion_xl_options.js";
import { isPart } from "./timesteps_xl.js";

/** The options of a call as takeOptions() gives them. */
export type XLCallOptions = CallOptions & WithoutNulls<Omit<XLOptions, keyof StableDiffusionOptions>>;
/** Those of calls that begin with pictures. */
export type XLPictureCallOptions = XLCallOptions & WithoutNulls<XLPictureOptions>;

/** @throws RangeError or TypeError naming the argument */
export function checkPromptsXL(prompt: Prompt | undefined, options: XLCallOptions, device: Device): void {
  const { promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds, negativePooledPromptEmbeds } = options;
  for (const [text, embeds] of [
    ["prompt2", "promptEmbeds"],
    ["negativePrompt2", "negativePromptEmbeds"],
  ] as const) {
    checkText(text, options[text]);
    if (options[text] !== undefined && options[embeds])
      throw new TypeError(
        `Cannot forward both \`${text}\` and \`${embeds}\`. Please make sure to only forward one of the two.`,
      );
  }
  for (const name of ["pooledPromptEmbeds", "negativePooledPromptEmbeds"] as const)
    checkTensor(name, options[name], ["batch", "width"], device);
  for (const [embeds, pooled, name] of [
    [promptEmbeds, pooledPromptEmbeds, "promptEmbeds"],
    [negativePromptEmbeds, negativePooledPromptEmbeds, "negativePromptEmbeds"],
  ] as const)
    if (embeds && !pooled) {
      const other = name === "promptEmbeds" ? "pooledPromptEmbeds" : "negativePooledPromptEmbeds";
      throw new TypeError(
        `If \`${name}\` are provided, \`${other}\` also have to be passed. Make sure to generate \`${other}\` from the same text ` +
          `encoder that was used to generate \`${name}\`.`,
      );
    }
  const batch = typeof prompt === "string" ? 1 : (prompt?.length ?? promptEmbeds?.shape[0]);
  for (const name of ["negativePromptEmbeds", "pooledPromptEmbeds", "negativePooledPromptEmbeds"] as const) {
    const rows = options[name]?.shape[0];
    if (rows !== undefined && rows !== batch)
      throw new RangeError(`\`${name}\` has batch size ${rows}, but the prompts are ${String(batch)}.`);
  }
}

/** @throws RangeError, TypeError for what is no size or place of pixels, and for scores and parts of the noise that are no numbers */
export function checkSizesXL(options: XLPictureCallOptions): void {
  for (const name of [
    "originalSize",
    "targetSize",
    "cropsCoordsTopLeft",
    "negativeOriginalSize",
    "negativeTargetSize",
    "negativeCropsCoordsTopLeft",
  ] as const) {
    const pair: unknown = options[name];
    if (pair === undefined) continue;
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new TypeError(`\`${name}\` must be two numbers, [height, width] or [top, left], got ${shown(pair)}`);
    for (const value of pair as unknown[]) checkFinite(name, value);
  }
  for (const name of ["denoisingEnd", "denoisingStart", "aestheticScore", "negativeAestheticScore"] as const)
    if (options[name] !== undefined) checkFinite(name, options[name]);
  const { denoisingStart: start, denoisingEnd: end } = options;
  if (isPart(start) && isPart(end) && start >= end)
    throw new RangeError(`\`denoisingStart\` must be before \`denoisingEnd\`, got ${start} and ${end}`);
}
