/** Prompts to embeddings as the latent upscaler takes them, StableDiffusionLatentUpscalePipeline.encode_prompt. */
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkNegativePrompt } from "../call/check_inputs.js";
import { warnOfTruncation } from "../call/encode_prompt.js";
import { needComponent } from "../loading/needed_components.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import type { XLCallOptions } from "../stable_diffusion_xl/check_inputs_xl.js";

/** The negative ones are null without guidance. */
export interface PooledEmbeds {
  /** [batch, tokens, width] */
  positive: Tensor;
  negative: Tensor | null;
  /** [batch, width] */
  pooled: Tensor;
  negativePooled: Tensor | null;
}

/** What stands for the noise of the picture, of which there is none: as many ones as zeros. */
const NOISE_LEVEL = [...new Array<number>(64).fill(1), ...new Array<number>(64).fill(0)];

/**
 * What the UNet is told beside the timestep: the noise of the picture, and the prompt's end token.
 * @returns [rows, time_cond_proj_dim], with guidance the negative prompts' rows first
 * @throws RangeError for a UNet that takes another width
 */
export function timestepCondition(
  className: string,
  { config: { time_cond_proj_dim: wanted } }: UNet2DConditionModel,
  { pooled, negativePooled }: Pick<PooledEmbeds, "pooled" | "negativePooled">,
): Tensor {
  const { device, dtype, shape } = pooled;
  const { length } = NOISE_LEVEL;
  if (length + shape[1] !== wanted)
    throw new RangeError(
      `${className}: the UNet must take ${length} noise levels and ${shape[1]} numbers of the prompt beside the timestep, ` +
        `got time_cond_proj_dim = ${String(wanted)}`,
    );
  const all = negativePooled ? concat(negativePooled, pooled, 0) : pooled;
  const rows = all.shape[0];
  const levels = Float32Array.from({ length: rows * length }, (_, i) => NOISE_LEVEL[i % length]);
  return concat(Tensor.from(levels, [rows, length], { device, dtype }), all, 1);
}

interface Encoded {
  states: Tensor;
  pooled: Tensor;
}

interface TextComponents {
  className: string;
  tokenizer: CLIPTokenizer;
  text_encoder: CLIPTextModel;
}

const purpose =
  "to encode prompts; promptEmbeds, pooledPromptEmbeds, negativePromptEmbeds and negativePooledPromptEmbeds do without";
const NEEDS = {
  tokenizer: { classes: [CLIPTokenizer], purpose },
  text_encoder: { classes: [CLIPTextModel], purpose },
};

/**
 * The caller disposes the results.
 * @param options checked by checkPrompts() and checkPromptsXL()
 */
export async function encodePromptPooled(
  components: TextComponents,
  prompt: Prompt,
  { guided, ...options }: XLCallOptions & { guided: boolean },
): Promise<PooledEmbeds> {
  if (guided) checkNegativePrompt(prompt, options.negativePrompt);
  const { promptEmbeds, pooledPromptEmbeds, negativePromptEmbeds, negativePooledPromptEmbeds } = options;
  const texts = typeof prompt === "string" ? [prompt] : prompt;
  if (texts) warnOfTruncation(need(components).tokenizer, texts);
  const { states: positive, pooled } = texts
    ? await encode(components, texts)
    : copies(promptEmbeds!, pooledPromptEmbeds!);
  if (!guided) return { positive, negative: null, pooled, negativePooled: null };
  try {
    const { negativePrompt = "" } = options;
    const batch = positive.shape[0];
    const negatives =
      typeof negativePrompt === "string" ? new Array<string>(batch).fill(negativePrompt) : negativePrompt;
    if (negatives.length !== batch)
      throw new RangeError(`\`negativePrompt\` has batch size ${negatives.length}, but the prompts are ${batch}.`);
    const negative = negativePromptEmbeds
      ? copies(negativePromptEmbeds, negativePooledPromptEmbeds!)
      : await encode(components, negatives, positive.shape[1]);
    return { positive, negative: negative.states, pooled, negativePooled: negative.pooled };
  } catch (error) {
    for (const tensor of [positive, pooled]) tensor.dispose();
    throw error;
  }
}

/** @throws TypeError naming what is missing */
function need(components: TextComponents): TextComponents {
  for (const name of ["tokenizer", "text_encoder"] as const)
    needComponent(components.className, name, components[name], NEEDS[name]);
  return components;
}

const copies = (states: Tensor, pooled: Tensor): Encoded => ({
  states: repeatRows(states, 1),
  pooled: repeatRows(pooled, 1),
});

function encode(components: TextComponents, texts: readonly string[], maxLength?: number): Promise<Encoded> {
  const { tokenizer, text_encoder: model } = need(components);
  return encodeIdsPooled(model, tokenizer(texts, { padding: "max_length", truncation: true, maxLength }).inputIds);
}

/**
 * The hidden state of the last layer, without the final norm, and that of the end token with it.
 * @returns tensors that the caller disposes
 */
async function encodeIdsPooled(model: CLIPTextModel, inputIds: readonly (readonly number[])[]): Promise<Encoded> {
  const { hiddenStates, lastHiddenState, pooledOutput: pooled } = await model.forward(inputIds);
  const states = hiddenStates[hiddenStates.length - 1];
  for (const tensor of [...hiddenStates.slice(0, -1), lastHiddenState]) tensor.dispose();
  return { states, pooled };
}
