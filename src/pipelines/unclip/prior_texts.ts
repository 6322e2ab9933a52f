/** What unCLIP's prior reads of prompts, _encode_prior_prompt of diffusers' StableUnCLIPPipeline. */
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { Tensor } from "../../tensor/tensor.js";
import { warnOfTruncation } from "../call/encode_prompt.js";
import { inBatch, type Branches } from "../call/guidance.js";

/** With guidance rows of all branches. */
export interface PriorTexts {
  /** Of each text as a whole, [rows, projection_dim]. */
  points: Tensor;
  /** Of its tokens, [rows, tokens, hidden_size]. */
  states: Tensor;
  /** float32 [rows, tokens]: 0 for those that only fill up. */
  mask: Tensor;
}

/**
 * @param count pictures of each text
 * @param branches of guidance, which leads away from an empty text; null without it
 * @returns tensors that the caller disposes
 */
export async function encodePriorTexts(
  { tokenizer, model }: { tokenizer: CLIPTokenizer; model: CLIPTextModelWithProjection },
  texts: readonly string[],
  { count, branches }: { count: number; branches: Branches | null },
): Promise<PriorTexts> {
  warnOfTruncation(tokenizer, texts);
  const positive = await encode(tokenizer, model, texts, count);
  if (!branches) return positive;
  let negative: PriorTexts | undefined;
  try {
    negative = await encode(tokenizer, model, new Array<string>(texts.length).fill(""), count);
    const of = (name: keyof PriorTexts): Tensor =>
      inBatch(branches, { positive: positive[name], negative: negative![name] });
    return { points: of("points"), states: of("states"), mask: of("mask") };
  } finally {
    disposeTexts(positive);
    if (negative) disposeTexts(negative);
  }
}

export function disposeTexts({ points, states, mask }: PriorTexts): void {
  for (const tensor of [points, states, mask]) tensor.dispose();
}

async function encode(
  tokenizer: CLIPTokenizer,
  model: CLIPTextModelWithProjection,
  texts: readonly string[],
  count: number,
): Promise<PriorTexts> {
  const { inputIds, attentionMask } = tokenizer(texts, { padding: "max_length", truncation: true });
  const { textEmbeds, lastHiddenState, hiddenStates } = await model.forward(inputIds);
  const device = model.device!;
  try {
    return device.scope(() => {
      const mask = Tensor.from(Float32Array.from(attentionMask.flat()), [texts.length, attentionMask[0].length], {
        device,
      });
      const [points, states, repeated] = [textEmbeds, lastHiddenState, mask].map((each) => repeatRows(each, count));
      return { points, states, mask: repeated };
    });
  } finally {
    for (const tensor of [textEmbeds, lastHiddenState, ...hiddenStates]) tensor.dispose();
  }
}
