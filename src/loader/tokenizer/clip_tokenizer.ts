import { shown } from "../../arguments/shown.js";
import { givenOptions } from "../../arguments/spelling.js";
import { Callable } from "../callable.js";
import { CONFIG_PLACE_NAMES, type ConfigPlace } from "../class_config.js";
import { openRepository, type RepositorySource } from "../repository.js";
import { takeSaveOptions } from "../save_options.js";
import { saveInto, type SaveTarget } from "../save_target.js";
import { BYTE_CHARACTERS } from "./bpe.js";
import { newTokens, strip, type FoundToken, type NewToken } from "./clip_text.js";
import { readTokenizerFiles, type CLIPTokenizerFiles } from "./clip_tokenizer_files.js";
import { rowLengths, takeTokenizerOptions, type CLIPTokenizerOptions } from "./clip_tokenizer_options.js";
import { CLIPVocabulary } from "./clip_vocabulary.js";
import { saveTokenizer } from "./save_tokenizer.js";

export type { CLIPTokenizerOptions } from "./clip_tokenizer_options.js";
export type { NewToken } from "./clip_text.js";

const MAX_CHARACTERS = 1_000_000;

/** `inputIds[i]` are the ids of text i, start and end tokens among them; `attentionMask[i]` is 1 for each, 0 for padding. */
export interface CLIPTokenizerOutput {
  inputIds: number[][];
  attentionMask: number[][];
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface CLIPTokenizer {
  (texts: string | readonly string[], options?: CLIPTokenizerOptions | null): CLIPTokenizerOutput;
  /** Tokens that there are, added ones among them: Python's `len(tokenizer)`. */
  readonly length: number;
}

/**
 * The tokenizer of CLIP's text encoders; gives the ids that transformers 5's CLIPTokenizer gives. Half a surrogate pair,
 * which that refuses, counts as U+FFFD. Texts over 1,000,000 characters are refused.
 *
 * @example
 * const tokenizer = await CLIPTokenizer.fromPretrained(folder, { subfolder: "tokenizer" });
 * tokenizer("a cat", { padding: "max_length", truncation: true }).inputIds; // [[49406, 320, 2368, 49407, …]], 77 ids
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class CLIPTokenizer extends Callable {
  static readonly className = "CLIPTokenizer";
  /** Tokens of a padded or truncated text, 77. */
  readonly modelMaxLength: number;
  /** Ids of the special tokens: before a text, behind it, padding, and what stands for unknown characters. */
  readonly bosTokenId: number;
  readonly eosTokenId: number;
  readonly padTokenId: number;
  readonly unkTokenId: number;
  readonly #vocabulary: CLIPVocabulary;
  readonly #files: CLIPTokenizerFiles;

  constructor(files: CLIPTokenizerFiles) {
    super();
    this.#files = files;
    this.#vocabulary = new CLIPVocabulary(files);
    const id = (content: string): number => this.#vocabulary.idOf(content) as number; // the files were checked
    this.modelMaxLength = files.modelMaxLength;
    this.bosTokenId = id(files.bos);
    this.eosTokenId = id(files.eos);
    this.padTokenId = id(files.pad);
    this.unkTokenId = id(files.unk);
    // A function has a length of its own.
    Object.defineProperty(this, "length", { get: () => this.#vocabulary.size, configurable: true });
  }

  /**
   * Reads vocab.json and merges.txt, or tokenizer.json, and the configs beside them.
   *
   * @param source folder, id on the hub, address, or EMBEDDED_MODEL; see openRepository
   * @throws RepositoryError, ConfigError naming the file; TypeError for wrong options
   */
  static async fromPretrained(source: RepositorySource, given?: ConfigPlace | null): Promise<CLIPTokenizer> {
    const { subfolder, ...options } = givenOptions(given, CONFIG_PLACE_NAMES, "CLIPTokenizer.fromPretrained");
    const repository = await openRepository(source, options);
    return new CLIPTokenizer(await readTokenizerFiles(repository, subfolder));
  }

  /**
   * Writes the files that the tokenizer was loaded from, with the tokens that were added since, such that transformers 4 and 5 both load
   * them.
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param options there are none; what is given is warned of
   */
  async savePretrained(
    destination: string | SaveTarget,
    options?: Readonly<Record<string, never>> | null,
  ): Promise<void> {
    takeSaveOptions(CLIPTokenizer.className, options);
    await saveInto(destination, "CLIPTokenizer.savePretrained", (target) => this.saveTo(target, ""));
  }

  /** Writes the files of savePretrained() into a folder of `target`. */
  saveTo(target: SaveTarget, folder: string): Promise<void> {
    return saveTokenizer(target, folder, this.#files, this.#vocabulary);
  }

  /** Tokens of byte-pair encoding, without added ones. */
  get vocabSize(): number {
    return this.#files.vocab.size;
  }

  /**
   * Adds tokens, which are looked for in texts before these are cut into words: `add_tokens`. Their ids are those behind the last one;
   * one that byte-pair encoding has already keeps its own.
   * @param options specialTokens: they are special ones
   * @returns how many are new
   * @throws TypeError for anything but tokens
   */
  addTokens(
    tokens: string | NewToken | readonly (string | NewToken)[],
    options?: { specialTokens?: boolean | null } | null,
  ): number {
    const { specialTokens } = givenOptions(options, ["specialTokens"], "CLIPTokenizer.addTokens");
    return this.#vocabulary.add(newTokens("CLIPTokenizer.addTokens", tokens, specialTokens ?? false));
  }

  /** Takes added tokens away that are no special ones; ids of those behind them become smaller. Others are left alone. */
  removeTokens(tokens: readonly string[]): void {
    const { added } = this.#vocabulary;
    this.#vocabulary.remove(new Set(tokens.filter((token) => added.get(token)?.special === false)));
  }

  /** Ids of added tokens, special ones among them: `added_tokens_encoder`. */
  get addedTokensEncoder(): ReadonlyMap<string, number> {
    const ids = [...this.#vocabulary.added.keys()].map((token) => [token, this.convertTokensToIds(token)] as const);
    return new Map(ids.sort(([, a], [, b]) => a - b));
  }

  /** Those of them that are no special ones, in the order of their ids. */
  get addedWords(): string[] {
    return [...this.addedTokensEncoder.keys()].filter((token) => !this.#vocabulary.added.get(token)!.special);
  }

  /** Whether there is such a token. */
  hasToken(token: string): boolean {
    return this.#vocabulary.idOf(token) !== undefined;
  }

  /** Ids of tokens; that of an unknown one is `unkTokenId`. */
  convertTokensToIds(token: string): number;
  convertTokensToIds(tokens: readonly string[]): number[];
  convertTokensToIds(tokens: string | readonly string[]): number | number[] {
    const id = (token: string): number => this.#vocabulary.idOf(token) ?? this.unkTokenId;
    return typeof tokens === "string" ? id(tokens) : tokens.map(id);
  }

  /** The tokens of a text, without start and end token; what byte-pair encoding makes has its spelling, `cat</w>`. */
  tokenize(text: string): string[] {
    return this.#tokens(text).map((token) => token.text);
  }

  /** Ids of a text, between start and end token; neither cut nor padded. */
  encode(text: string): number[] {
    return [this.bosTokenId, ...this.#tokens(text).map(({ id }) => id), this.eosTokenId];
  }

  #tokens(text: string): FoundToken[] {
    if (typeof text !== "string") throw new TypeError(`CLIPTokenizer: expected a text, got ${shown(text)}`);
    if (text.length > MAX_CHARACTERS) {
      throw new RangeError(
        `CLIPTokenizer: the text has ${text.length} characters, more than ${MAX_CHARACTERS}; shorten it`,
      );
    }
    return [...this.#vocabulary.tokens(text)];
  }

  /**
   * What `tokenizer(texts, options)` does: encodes one text or several, cuts and pads them.
   * @throws RangeError, TypeError for other values; options that there are not are warned of
   */
  override call(texts: string | readonly string[], options?: CLIPTokenizerOptions | null): CLIPTokenizerOutput {
    const { cutTo, padTo } = rowLengths(options, this.modelMaxLength);
    const list = typeof texts === "string" ? [texts] : texts;
    if (!Array.isArray(list))
      throw new TypeError(`CLIPTokenizer: takes a text or a list of texts, got ${shown(texts)}`);
    const rows = (list as readonly string[]).map((text) => {
      const ids = this.encode(text);
      return cutTo !== null && ids.length > cutTo ? this.#cut(ids, cutTo) : ids;
    });
    const longest = rows.reduce((length, ids) => Math.max(length, ids.length), 0);
    const length = padTo === "longest" ? longest : padTo;
    const padded = (row: number[], padding: number): number[] => {
      const fill = new Array<number>(Math.max(0, length - row.length)).fill(padding);
      return this.#files.sides.padding === "left" ? [...fill, ...row] : [...row, ...fill];
    };
    return {
      inputIds: rows.map((ids) => padded(ids, this.padTokenId)),
      attentionMask: rows.map((ids) =>
        padded(
          ids.map(() => 1),
          0,
        ),
      ),
    };
  }

  get #special(): ReadonlySet<number> {
    const { added } = this.#vocabulary;
    const named = [this.bosTokenId, this.eosTokenId, this.padTokenId, this.unkTokenId];
    const others = [...added.values()].filter(({ special }) => special).map(({ content }) => content);
    return new Set([...named, ...this.convertTokensToIds(others)]);
  }

  /** So many of a text's ids: start and end token stay. */
  #cut(ids: readonly number[], length: number): number[] {
    return this.#files.sides.truncation === "left"
      ? [this.bosTokenId, ...ids.slice(ids.length - length + 1)]
      : [...ids.slice(0, length - 1), this.eosTokenId];
  }

  /** The text of some ids, words parted by spaces; bytes that are no UTF-8 become U+FFFD. Throws for an unknown id. */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const { skipSpecialTokens = false } = takeTokenizerOptions("CLIPTokenizer.decode", options, ["skipSpecialTokens"]);
    const special = skipSpecialTokens ? this.#special : NONE;
    const bytes: number[] = [];
    for (const id of ids) {
      const token = this.#vocabulary.spelling(id);
      if (token === undefined) throw new RangeError(`CLIPTokenizer: there is no token ${id}`);
      if (special.has(id)) continue;
      const own = Array.from(token, (character) => BYTES.get(character) ?? -1);
      bytes.push(...(own.includes(-1) ? new TextEncoder().encode(token) : own));
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return strip(text.replaceAll("</w>", " "));
  }
}

const NONE: ReadonlySet<number> = new Set();
const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
