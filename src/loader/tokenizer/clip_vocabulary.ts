/** The tokens of a CLIP tokenizer: those of byte-pair encoding, and those added to them, as in transformers 5 (the tokenizers library). */
import { BytePairEncoder } from "./bpe.js";
import { AddedTokens, normalize, splitWords, type AddedToken, type FoundToken } from "./clip_text.js";
import type { CLIPTokenizerFiles } from "./clip_tokenizer_files.js";

export class CLIPVocabulary {
  readonly #model: ReadonlyMap<string, number>;
  readonly #encoder: BytePairEncoder;
  readonly #strings: ReadonlyMap<number, string>;
  /** By content, in the order in which they were added. */
  #added: ReadonlyMap<string, AddedToken>;
  /** Of those of them that byte-pair encoding does not know. */
  #ids: ReadonlyMap<string, number>;
  #typed!: AddedTokens;
  #normalized!: AddedTokens;
  #spelt!: ReadonlyMap<number, string>;

  constructor({ vocab, merges, added, addedIds, unk }: CLIPTokenizerFiles) {
    this.#model = vocab;
    this.#strings = new Map([...vocab].map(([token, id]) => [id, token]));
    this.#added = added;
    this.#ids = addedIds;
    this.#encoder = new BytePairEncoder(vocab, merges, this.idOf(unk) as number); // the files were checked
    this.#prepare();
  }

  /** Tokens that there are, added ones among them. */
  get size(): number {
    return this.#model.size + this.#ids.size;
  }

  get added(): ReadonlyMap<string, AddedToken> {
    return this.#added;
  }

  /** Of those of the added tokens that byte-pair encoding does not know. */
  get addedIds(): ReadonlyMap<string, number> {
    return this.#ids;
  }

  idOf(token: string): number | undefined {
    return this.#model.get(token) ?? this.#ids.get(token);
  }

  /** What is in the text of a token: what is found in the normalized text is spelled as there. */
  spelling(id: number): string | undefined {
    return this.#spelt.get(id) ?? this.#strings.get(id);
  }

  /** The tokens of a text, each with its id and what it is called. */
  *tokens(text: string): Generator<FoundToken> {
    for (const typed of this.#typed.split(text.replace(/\p{Surrogate}/gu, "\ufffd"))) {
      for (const piece of typeof typed === "string" ? this.#normalized.split(normalize(typed)) : [typed]) {
        if (typeof piece !== "string") yield piece;
        else
          for (const word of splitWords(piece))
            for (const id of this.#encoder.encode(word)) yield { id, text: this.#strings.get(id)! };
      }
    }
  }

  /** One that is there already becomes what is said of it now. @returns how many were new or became others */
  add(tokens: readonly AddedToken[]): number {
    const added = new Map(this.#added);
    const ids = new Map(this.#ids);
    let count = 0;
    let next = [...ids.values()].reduce((most, id) => Math.max(most, id + 1), this.#model.size);
    for (const token of tokens) {
      const { content } = token;
      const known = added.get(content);
      if (content === "" || (known && same(known, token))) continue;
      added.set(content, token);
      if (!known && !this.#model.has(content)) ids.set(content, next++);
      count++;
    }
    if (count === 0) return 0;
    this.#added = added;
    this.#ids = ids;
    this.#prepare();
    return count;
  }

  /** Takes away added tokens; the ids of those behind them become smaller. */
  remove(contents: ReadonlySet<string>): void {
    const gone = [...this.#ids].filter(([content]) => contents.has(content)).map(([, id]) => id);
    this.#added = new Map([...this.#added].filter(([content]) => !contents.has(content)));
    const kept = [...this.#ids].filter(([content]) => !contents.has(content));
    this.#ids = new Map(kept.map(([content, id]) => [content, id - gone.filter((other) => other < id).length]));
    this.#prepare();
  }

  #prepare(): void {
    const id = (content: string): number => this.idOf(content) as number;
    // Of two that are alike when normalized the first one is found; in transformers it is any, from run to run.
    const all = [...this.#added.values()];
    this.#spelt = new Map(
      all.map(({ content, normalized }) => [id(content), normalized ? normalize(content) : content] as const),
    );
    const found = (normalized: boolean): [AddedToken, number][] =>
      all.filter((token) => token.normalized === normalized).map((token) => [token, id(token.content)]);
    this.#typed = new AddedTokens(found(false), (text) => text);
    this.#normalized = new AddedTokens(found(true), normalize);
  }
}

const same = (a: AddedToken, b: AddedToken): boolean =>
  (["normalized", "lstrip", "rstrip", "single_word", "special"] as const).every((flag) => a[flag] === b[flag]);
