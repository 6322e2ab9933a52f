/** Prompts to embeddings, StableDiffusionPipeline.encode_prompt. */
import { pythonRepr } from "../../loader/config_json.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel, type CLIPTextOptions } from "../../nn/clip/clip_text_model.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import type { Tensor } from "../../tensor/tensor.js";
import { withAllVectors } from "../adapters/multi_vector.js";
import { needComponent } from "../loading/needed_components.js";
import { checkNegativePrompt, type CallOptions } from "./check_inputs.js";

interface TextComponents {
  /** Of the pipeline, for messages. */
  className: string;
  tokenizer: CLIPTokenizer;
  text_encoder: CLIPTextModel;
}

export interface PromptEmbeds {
  /** [batch * numImagesPerPrompt, tokens, width] */
  positive: Tensor;
  /** The same shape; null without guidance. */
  negative: Tensor | null;
  /** What Stable Diffusion XL knows besides, [rows, width] and [rows, 6]: with guidance rows of all branches. */
  added?: { textEmbeds: Tensor; timeIds: Tensor };
  /** What the latent upscaler's UNet is told beside the timestep, [rows, width]: with guidance as many rows. */
  timestepCond?: Tensor;
}

const purpose =
  "to encode prompts, of which the negative one is empty by default; promptEmbeds and negativePromptEmbeds do without";
const NEEDS = {
  tokenizer: { classes: [CLIPTokenizer], purpose },
  text_encoder: { classes: [CLIPTextModel], purpose },
};

/** The caller disposes both results. */
export async function encodePrompt(
  components: TextComponents,
  prompt: string | readonly string[] | null | undefined,
  { guided, ...options }: CallOptions & { guided: boolean },
): Promise<PromptEmbeds> {
  const { numImagesPerPrompt = 1, clipSkip, promptEmbeds, negativePromptEmbeds } = options;
  const repeat = (x: Tensor, owned: boolean): Tensor => {
    const result = numImagesPerPrompt === 1 && owned ? x : repeatRows(x, numImagesPerPrompt);
    if (owned && result !== x) x.dispose();
    return result;
  };
  if (guided) checkNegativePrompt(prompt, options.negativePrompt);
  if (prompt != null || (guided && !negativePromptEmbeds))
    for (const name of ["tokenizer", "text_encoder"] as const)
      needComponent(components.className, name, components[name], NEEDS[name]);
  const given = typeof prompt === "string" ? [prompt] : prompt;
  const texts = given && withAllVectors(given, components.tokenizer);
  const batch = texts?.length ?? (promptEmbeds as Tensor).shape[0];
  if (texts) warnOfTruncation(components.tokenizer, texts);
  const positive = texts
    ? repeat(await encode(components, texts, { clipSkip }), true)
    : repeat(promptEmbeds as Tensor, false);
  if (!guided) return { positive, negative: null };
  try {
    if (negativePromptEmbeds) return { positive, negative: repeat(negativePromptEmbeds, false) };
    const { negativePrompt = "" } = options;
    const negatives = withAllVectors(
      typeof negativePrompt === "string" ? new Array<string>(batch).fill(negativePrompt) : negativePrompt,
      components.tokenizer,
    );
    if (negatives.length !== batch)
      throw new RangeError(`\`negativePrompt\` has batch size ${negatives.length}, but the prompts are ${batch}.`);
    // As in diffusers, clipSkip does not apply to the negative prompt, which gets as many tokens as the prompt has.
    return { positive, negative: repeat(await encode(components, negatives, { maxLength: positive.shape[1] }), true) };
  } catch (error) {
    positive.dispose();
    throw error;
  }
}

/** The text encoder's last hidden state, or an earlier one under the final norm. */
function encode(
  { tokenizer, text_encoder: model }: TextComponents,
  texts: readonly string[],
  { clipSkip, maxLength }: { clipSkip?: number; maxLength?: number },
): Promise<Tensor> {
  const { inputIds, attentionMask } = tokenizer(texts, { padding: "max_length", truncation: true, maxLength });
  const { use_attention_mask: masked } = model.config as { use_attention_mask?: unknown };
  return encodeIds(model, inputIds, { clipSkip, ...(masked === true && { attentionMask }) });
}

/** The same from ids. @returns [batch, tokens, width], which the caller disposes */
export async function encodeIds(
  model: CLIPTextModel,
  inputIds: readonly (readonly number[])[],
  { clipSkip, ...options }: CLIPTextOptions & { clipSkip?: number } = {},
): Promise<Tensor> {
  const { lastHiddenState, pooledOutput, hiddenStates } = await model.forward(inputIds, options);
  let result: Tensor | undefined;
  try {
    if (clipSkip == null) result = lastHiddenState;
    else {
      const state = hiddenStates[hiddenStates.length - 1 - clipSkip];
      if (!state)
        throw new RangeError(
          `\`clipSkip\` must be below the ${hiddenStates.length} hidden states of the text encoder, got ${clipSkip}`,
        );
      result = model.finalNorm(state);
    }
    return result;
  } finally {
    for (const tensor of [lastHiddenState, pooledOutput, ...hiddenStates]) if (tensor !== result) tensor.dispose();
  }
}

/** As diffusers words it: of each text, shorter ones filled up with end tokens, what is behind the model's length. */
export function warnOfTruncation(tokenizer: CLIPTokenizer, texts: readonly string[]): void {
  const limit = tokenizer.modelMaxLength;
  const { inputIds } = tokenizer(texts, { padding: "longest" });
  if (inputIds[0].length <= limit) return;
  const removed = inputIds.map((ids) => tokenizer.decode(ids.slice(limit - 1, -1)));
  console.warn(
    `The following part of your input was truncated because CLIP can only handle sequences up to ${limit} tokens: ${pythonRepr(removed)}`,
  );
}
