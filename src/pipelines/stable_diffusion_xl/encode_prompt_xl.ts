/** Prompts to embeddings of both text encoders, StableDiffusionXLPipeline.encode_prompt. */
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import type { DType } from "../../tensor/dtype.js";
import { cast, repeatRows } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { withAllVectors } from "../adapters/multi_vector.js";
import { warnOfTruncation } from "../call/encode_prompt.js";
import { needComponent } from "../loading/needed_components.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import type { XLCallOptions } from "./check_inputs_xl.js";

/** Of a pipeline; the first encoder and its tokenizer may be missing. */
export interface XLTextComponents {
  className: string;
  tokenizer: CLIPTokenizer;
  tokenizer_2: CLIPTokenizer;
  text_encoder: CLIPTextModel;
  text_encoder_2: CLIPTextModelWithProjection;
  /** Whether without any negative prompt its embeddings are zeros, not those of an empty text. */
  zerosForNone: boolean;
  dtype: DType;
}

/** Rows are batch * numImagesPerPrompt; the negative ones are null without guidance. */
export interface XLEmbeds {
  /** [rows, tokens, width of both encoders] */
  positive: Tensor;
  negative: Tensor | null;
  /** [rows, projection_dim of the second encoder] */
  pooled: Tensor;
  negativePooled: Tensor | null;
}

const purpose =
  "to encode prompts; promptEmbeds, pooledPromptEmbeds, negativePromptEmbeds and negativePooledPromptEmbeds do without";
const NEEDS = {
  tokenizer: { classes: [CLIPTokenizer], purpose },
  text_encoder: { classes: [CLIPTextModel, CLIPTextModelWithProjection], purpose },
  tokenizer_2: { classes: [CLIPTokenizer], purpose },
  text_encoder_2: { classes: [CLIPTextModelWithProjection], purpose },
};

/**
 * The caller disposes the results.
 * @param options checked by checkPromptsXL()
 */
export async function encodePromptXL(
  components: XLTextComponents,
  prompt: Prompt | undefined,
  { guided, numImagesPerPrompt = 1, ...options }: XLCallOptions & { guided: boolean },
): Promise<XLEmbeds> {
  const made: Tensor[] = [];
  const keep = (x: Tensor): Tensor => (made.push(x), x);
  const encode = async (
    texts: readonly (readonly string[])[],
    how: { clipSkip?: number; maxLength?: number },
  ): Promise<Encoded> => {
    const { states, pooled } = await encodeTexts(components, texts, how);
    return { states: keep(states), pooled: keep(pooled) };
  };
  try {
    const batch = typeof prompt === "string" ? 1 : (prompt?.length ?? options.promptEmbeds!.shape[0]);
    const listOf = (texts: string | readonly string[]): readonly string[] =>
      typeof texts === "string" ? new Array<string>(batch).fill(texts) : texts;
    let { promptEmbeds: positive, pooledPromptEmbeds: pooled } = options;
    if (prompt != null) {
      const texts = [listOf(prompt), listOf(options.prompt2 || prompt)];
      expectBatch("prompt2", texts[1], batch);
      const encoded = await encode(texts, { clipSkip: options.clipSkip });
      positive = encoded.states;
      pooled ??= encoded.pooled;
    }
    let negative: Tensor | null = null;
    let negativePooled: Tensor | null = null;
    if (guided && options.negativePromptEmbeds) {
      negative = options.negativePromptEmbeds;
      negativePooled = options.negativePooledPromptEmbeds!;
    } else if (guided && options.negativePrompt === undefined && components.zerosForNone) {
      negative = keep(zerosLike(positive!));
      negativePooled = keep(zerosLike(pooled!));
    } else if (guided) {
      const given = options.negativePrompt ?? "";
      const texts = [listOf(given), listOf(options.negativePrompt2 || given)];
      for (const [name, list] of [
        ["negativePrompt", texts[0]],
        ["negativePrompt2", texts[1]],
      ] as const)
        expectBatch(name, list, batch);
      // As in diffusers, clipSkip does not apply to the negative prompt, which gets as many tokens as the prompt has.
      const encoded = await encode(texts, { maxLength: positive!.shape[1] });
      negative = encoded.states;
      negativePooled = options.negativePooledPromptEmbeds ?? encoded.pooled;
    }
    const rows = (x: Tensor): Tensor =>
      repeatRows(x.dtype === components.dtype ? x : cast(x, components.dtype), numImagesPerPrompt);
    return positive!.device.scope(() => ({
      positive: rows(positive!),
      negative: negative && rows(negative),
      pooled: rows(pooled!),
      negativePooled: negativePooled && rows(negativePooled),
    }));
  } finally {
    for (const tensor of made) tensor.dispose();
  }
}

interface Encoded {
  /** [batch, tokens, width of both encoders] */
  states: Tensor;
  /** [batch, projection_dim] */
  pooled: Tensor;
}

/** @param texts for the first encoder and for the second; without the first one, as in diffusers, the second gets its texts */
async function encodeTexts(
  components: XLTextComponents,
  texts: readonly (readonly string[])[],
  { clipSkip, maxLength }: { clipSkip?: number; maxLength?: number },
): Promise<Encoded> {
  const both = (components.text_encoder as CLIPTextModel | null) !== null;
  const names = both ? (["text_encoder", "text_encoder_2"] as const) : (["text_encoder_2"] as const);
  for (const name of names) {
    const tokenizer = name === "text_encoder" ? "tokenizer" : "tokenizer_2";
    for (const part of [tokenizer, name] as const)
      needComponent(components.className, part, components[part], NEEDS[part]);
  }
  const encoded: Partial<Encoded>[] = [];
  try {
    for (const [i, name] of names.entries()) {
      const tokenizer = name === "text_encoder" ? components.tokenizer : components.tokenizer_2;
      const own = withAllVectors(texts[i], tokenizer);
      if (maxLength === undefined) warnOfTruncation(tokenizer, own);
      const { inputIds } = tokenizer(own, { padding: "max_length", truncation: true, maxLength });
      encoded.push(await encodeIdsXL(components[name], inputIds, clipSkip));
    }
    const last = encoded[encoded.length - 1];
    const { dtype, device } = last.states!;
    const states = device.scope(() =>
      encoded.map(({ states: x }) => cast(x!, dtype)).reduce((all, x) => concat(all, x, 2)),
    );
    return { states, pooled: cast(last.pooled!, dtype) };
  } finally {
    for (const { states, pooled } of encoded) for (const tensor of [states, pooled]) tensor?.dispose();
  }
}

/**
 * The hidden state before the last layer, without the final norm, and the projection of the end token where the encoder has one.
 * @param clipSkip layers to leave out besides
 * @returns tensors that the caller disposes
 */
async function encodeIdsXL(
  model: CLIPTextModel | CLIPTextModelWithProjection,
  inputIds: readonly (readonly number[])[],
  clipSkip = 0,
): Promise<Partial<Encoded>> {
  const { hiddenStates, lastHiddenState, ...rest } = await model.forward(inputIds);
  const at = hiddenStates.length - 2 - clipSkip;
  const states = hiddenStates[at] as Tensor | undefined;
  const pooled = "textEmbeds" in rest ? rest.textEmbeds : undefined;
  for (const tensor of [...hiddenStates, lastHiddenState, ...Object.values(rest)])
    if (tensor !== pooled && (tensor !== states || at < 0)) tensor.dispose();
  if (states) return { states, pooled };
  pooled?.dispose();
  throw new RangeError(
    `\`clipSkip\` must be below ${hiddenStates.length - 1} of a text encoder with ${hiddenStates.length} hidden states, got ${clipSkip}`,
  );
}

function expectBatch(name: string, texts: readonly string[], batch: number): void {
  if (texts.length !== batch)
    throw new RangeError(
      `\`${name}\` has batch size ${texts.length}, but \`prompt\` has batch size ${batch}. Please make sure that they match.`,
    );
}

const zerosLike = ({ size, shape, dtype, device }: Tensor): Tensor =>
  Tensor.from(new Float32Array(size), shape, { device, dtype });
