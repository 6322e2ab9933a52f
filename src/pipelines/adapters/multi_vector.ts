/** Prompts with tokens of textual inversion that are several vectors: diffusers' maybe_convert_prompt (loaders/textual_inversion.py). */
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";

/**
 * Texts in which a token that stands for several vectors is followed by the others of them: `<cat>` becomes `<cat> <cat>_1 <cat>_2`.
 * As in diffusers, it is written as it was loaded, and must have no capitals: texts are looked through in lower case.
 */
export function withAllVectors<T extends string | readonly string[]>(prompt: T, tokenizer: CLIPTokenizer): T {
  const added = tokenizer.addedTokensEncoder;
  // Nearly always: texts need not be looked through.
  if (![...added.keys()].some((token) => token.endsWith("_1"))) return prompt;
  const converted = (text: string): string => {
    for (const token of new Set(tokenizer.tokenize(text))) {
      if (!added.has(token)) continue;
      const vectors = [token];
      while (added.has(`${token}_${vectors.length}`)) vectors.push(`${token}_${vectors.length}`);
      text = text.replaceAll(token, () => vectors.join(" "));
    }
    return text;
  };
  return (typeof prompt === "string" ? converted(prompt) : prompt.map(converted)) as T;
}
