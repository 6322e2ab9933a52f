/** Words that were learned, for the text encoders of a pipeline: diffusers' TextualInversionLoaderMixin (loaders/textual_inversion.py). */
import { shown } from "../../arguments/shown.js";
import { givenOptions, refuseRespelt } from "../../arguments/spelling.js";
import { quote } from "../../loader/errors.js";
import { HUB_OPTION_NAMES, type HubOptions } from "../../loader/repository.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import { Tensor } from "../../tensor/tensor.js";
import { inTurn } from "../call/in_turn.js";
import { needComponent } from "../loading/needed_components.js";
import { LoraLoader } from "./lora_loader.js";
import { withAllVectors } from "./multi_vector.js";
import { checkFits, newVectors, oneEach, tokensOf, warnOfCapitals, type TextEncoder } from "./textual_inversion.js";
import { readEmbedding, type EmbeddingSource } from "./textual_inversion_sources.js";

/** null is as nothing, as Python's None. */
export interface TextualInversionParts {
  /** By default the pipeline's `tokenizer`; of XL also `tokenizer_2`. */
  tokenizer?: CLIPTokenizer | null;
  /** By default the pipeline's `text_encoder`; of XL also `text_encoder_2`. */
  textEncoder?: TextEncoder | null;
}

/** null is as nothing, as Python's None. */
export interface TextualInversionOptions extends TextualInversionParts, Omit<HubOptions, "token"> {
  /** What stands for the embedding in prompts, by default what the file says; of several embeddings a list of them. */
  token?: string | readonly (string | null)[] | null;
  /** Name of the file; by default learned_embeds.safetensors. */
  weightName?: string | null;
  /** Folder of the file inside the repository. */
  subfolder?: string | null;
  /** Access token for private repositories of the hub: HubOptions' token. */
  hfToken?: HubOptions["token"];
}

const PART_NAMES = ["tokenizer", "textEncoder"];
const OPTION_NAMES = [
  ...["token", ...PART_NAMES, "weightName", "subfolder", "hfToken"],
  ...HUB_OPTION_NAMES.filter((name) => name !== "token"),
];
const NEEDS = {
  tokenizer: { classes: [CLIPTokenizer], purpose: "for textual inversion; give { tokenizer }" },
  textEncoder: {
    classes: [CLIPTextModel, CLIPTextModelWithProjection],
    purpose: "for textual inversion; give { textEncoder }",
  },
};

/** Pipelines that share a tokenizer and a text encoder share the words, too; none of them may draw while they change. */
export abstract class TextualInversionLoader extends LoraLoader {
  abstract tokenizer: CLIPTokenizer;
  abstract text_encoder: CLIPTextModel;

  /**
   * Loads embeddings of textual inversion, each as a new token of the tokenizer and a new row of the text encoder's table. One of several
   * vectors becomes the tokens `token`, `token_1`, …, for all of which `token` stands in prompts.
   * @param source a repository, the path or address of a .safetensors file, of diffusers or A1111, a tensor [width] or [vectors, width], an
   *   object or Map of one tensor by its token, or a list of these. With several tokens one tensor has a row for each
   * @throws Error naming the source or the token and what is wrong with it; nothing has changed then
   * @example
   * await pipeline.loadTextualInversion("owner/cat-toy");
   * const { images } = await pipeline("a <cat-toy> backpack");
   */
  override async loadTextualInversion(
    source: EmbeddingSource | readonly EmbeddingSource[],
    given?: TextualInversionOptions | null,
  ): Promise<void> {
    const caller = `${this.className}.loadTextualInversion`;
    const { token, hfToken, tokenizer, textEncoder, ...place } = givenOptions(given, OPTION_NAMES, caller);
    refuseRespelt(caller, place, OPTION_NAMES);
    const sources = Array.isArray(source) ? (source as readonly EmbeddingSource[]) : [source as EmbeddingSource];
    if (sources.length === 0) throw new RangeError(`${caller}: the list of embeddings is empty`);
    const names = tokensOf(caller, token, sources.length, sources.length === 1 && sources[0] instanceof Tensor);
    let embeddings = await Promise.all(
      sources.map((each) => readEmbedding(caller, each, { ...place, token: hfToken })),
    );
    if (names.length > 1 && embeddings.length === 1) embeddings = oneEach(caller, embeddings[0], names.length);
    await this.#change({ tokenizer, textEncoder }, place.signal, async (parts) => {
      const vectors = newVectors(caller, embeddings, names, parts.tokenizer);
      checkFits(caller, vectors, parts.textEncoder, parts.tokenizer);
      // As in diffusers, rows behind those of the tokens give way.
      const rows = Array.from({ length: parts.tokenizer.length }, (_, i) => i);
      await parts.textEncoder.setTokenRows([...rows, ...vectors.values()]);
      parts.tokenizer.addTokens([...vectors.keys()]);
      warnOfCapitals(caller, [...vectors.keys()]);
    });
  }

  /**
   * Takes away tokens that were added, by default all that are no special ones, and their rows. Of one with several vectors each is a
   * token.
   * @throws Error where there is none of them
   */
  async unloadTextualInversion(
    tokens?: string | readonly string[] | null,
    given?: TextualInversionParts | null,
  ): Promise<void> {
    const caller = `${this.className}.unloadTextualInversion`;
    const parts = givenOptions(given, PART_NAMES, caller);
    refuseRespelt(caller, parts, PART_NAMES);
    const wanted = typeof tokens === "string" ? [tokens] : (tokens ?? []);
    if (!Array.isArray(wanted)) throw new TypeError(`${caller}: tokens must be a text or a list, got ${shown(wanted)}`);
    await this.#change(parts, undefined, async ({ tokenizer, textEncoder }) => {
      const words = tokenizer.addedWords;
      const gone = wanted.length === 0 ? words : words.filter((word) => wanted.includes(word));
      const missing = wanted.filter((token) => !gone.includes(token)).map((token) => quote(token));
      if (wanted.length > 0 && gone.length === 0)
        throw new Error(
          `${caller}: no tokens to remove found: ${missing.join(", ")} not among ${words.join(", ") || "the added ones, of which there are none"}`,
        );
      if (missing.length > 0) console.warn(`${caller}: there is no added token ${missing.join(", ")}`);
      // One that byte-pair encoding has keeps its row.
      const ids = new Set(tokenizer.convertTokensToIds(gone).filter((id) => id >= tokenizer.vocabSize));
      const rows = Array.from({ length: textEncoder.config.vocab_size }, (_, i) => i);
      if (ids.size > 0) await textEncoder.setTokenRows(rows.filter((id) => !ids.has(id)));
      tokenizer.removeTokens(gone);
    });
  }

  /** Prompts with all vectors of their tokens, as calls make them: `<cat>` becomes `<cat> <cat>_1 <cat>_2`. */
  maybeConvertPrompt<T extends string | readonly string[]>(prompt: T, tokenizer: CLIPTokenizer): T {
    return withAllVectors(prompt, tokenizer);
  }

  /** When the calls under way have ended. */
  async #change(
    { tokenizer = this.tokenizer, textEncoder = this.text_encoder }: Partial<Parts>,
    signal: AbortSignal | undefined,
    work: (parts: Parts) => Promise<void>,
  ): Promise<void> {
    await inTurn([this], signal, async () => {
      this.expectModels();
      for (const [name, part] of Object.entries({ tokenizer, textEncoder }))
        needComponent(this.className, name, part, NEEDS[name as keyof Parts]);
      await work({ tokenizer, textEncoder });
    });
  }
}

interface Parts {
  tokenizer: CLIPTokenizer;
  textEncoder: TextEncoder;
}
