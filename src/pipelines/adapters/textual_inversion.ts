/** Which tokens learned embeddings are for: diffusers' TextualInversionLoaderMixin (loaders/textual_inversion.py). */
import { shown } from "../../arguments/shown.js";
import { quote } from "../../loader/errors.js";
import { normalize } from "../../loader/tokenizer/clip_text.js";
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import type { LearnedEmbedding } from "./textual_inversion_sources.js";

export type TextEncoder = CLIPTextModel | CLIPTextModelWithProjection;

/**
 * A name for each embedding, or null for its own.
 * @param count sources that are given
 * @param isTensor whether the only one is a tensor, whose rows may be for a token each
 * @throws TypeError, RangeError for anything but names, and for too many or too few of them
 */
export function tokensOf(caller: string, given: unknown, count: number, isTensor: boolean): (string | null)[] {
  const isList = Array.isArray(given);
  const list: unknown[] = isList ? (given as unknown[]) : [given ?? null];
  for (const token of list)
    if (token !== null && (typeof token !== "string" || token === ""))
      throw new TypeError(`${caller}: a token must be a text, got ${shown(token)}`);
  const tokens = list as (string | null)[];
  if (tokens.length === 1 && tokens[0] === null) return new Array<null>(count).fill(null);
  if (tokens.length !== count && !(isTensor && tokens.length > 0))
    throw new RangeError(`${caller}: there are ${count} embeddings and ${tokens.length} tokens; give a token for each`);
  return tokens;
}

/** A row for each token of an embedding that has several. */
export function oneEach(caller: string, { vectors }: LearnedEmbedding, count: number): LearnedEmbedding[] {
  if (vectors.length !== count)
    throw new RangeError(`${caller}: the tensor has ${vectors.length} embeddings, and there are ${count} tokens`);
  return vectors.map((vector) => ({ token: null, vectors: [vector] }));
}

/**
 * The tokens that are new, each of one vector: those behind the first of an embedding are called `token_1`, `token_2`, …
 * @throws Error, TypeError, RangeError naming a token, where it cannot be added
 */
export function newVectors(
  caller: string,
  embeddings: readonly LearnedEmbedding[],
  names: readonly (string | null)[],
  tokenizer: CLIPTokenizer,
): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  const looks = new Map(tokenizer.addedWords.map((word) => [normalize(word), word]));
  embeddings.forEach(({ token: own, vectors }, i) => {
    const token = names[i] ?? own;
    if (token === null)
      throw new TypeError(`${caller}: a tensor does not say which token it is for; give it: { token: "<name>" }`);
    const clash = [token, `${token}_1`].find((each) => tokenizer.hasToken(each));
    if (clash !== undefined)
      throw new Error(
        `${caller}: token ${quote(clash)} already in tokenizer vocabulary; give another one ({ token }), or take it away: ` +
          `unloadTextualInversion(${JSON.stringify(clash)})`,
      );
    vectors.forEach((vector, n) => {
      const name = n === 0 ? token : `${token}_${n}`;
      if (found.has(name) || tokenizer.hasToken(name))
        throw new Error(
          `${caller}: there are two embeddings for the token ${quote(name)}; give another one: { token }`,
        );
      const other = looks.get(normalize(name));
      if (other !== undefined)
        throw new Error(
          `${caller}: the token ${quote(name)} cannot be told from ${quote(other)}, because prompts are looked through in lower case; give ` +
            "another one: { token }",
        );
      looks.set(normalize(name), name);
      found.set(name, vector);
    });
  });
  return found;
}

/** Of tokens of several vectors that no prompt is ever seen to have, as withAllVectors() looks for them. */
export function warnOfCapitals(caller: string, tokens: readonly string[]): void {
  for (const token of tokens)
    if (tokens.includes(`${token}_1`) && normalize(token) !== token)
      console.warn(
        `${caller}: only the first vector of ${quote(token)} counts, as in diffusers, because prompts are looked through in lower case; give ` +
          `another name: { token: ${JSON.stringify(normalize(token))} }`,
      );
}

/** @throws RangeError where the vectors do not fit the text encoder, or it does not go with the tokenizer */
export function checkFits(
  caller: string,
  vectors: ReadonlyMap<string, Float32Array>,
  { config }: TextEncoder,
  tokenizer: CLIPTokenizer,
): void {
  const { hidden_size: width, vocab_size: rows } = config;
  for (const [token, vector] of vectors)
    if (vector.length !== width)
      throw new RangeError(
        `${caller}: the embedding of ${quote(token)} has ${vector.length} numbers, and the text encoder takes ${width}; it was learned for ` +
          "another one",
      );
  const last = Math.max(...tokenizer.addedTokensEncoder.values());
  if (rows < tokenizer.length || last >= tokenizer.length)
    throw new RangeError(
      `${caller}: the text encoder has rows for ${rows} tokens, and the tokenizer ${tokenizer.length}, up to number ${last}; they do not ` +
        "belong together",
    );
}
