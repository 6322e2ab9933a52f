import { shown } from "../arguments/shown.js";
import { givenOptions } from "../arguments/spelling.js";
import { BYTE_CHARACTERS, BytePairEncoder } from "./bpe.js";
import { Callable } from "./callable.js";
import { AddedTokens, normalize, splitWords, strip } from "./clip_text.js";
import { CONFIG_PLACE_NAMES, type ConfigPlace } from "./class_config.js";
import { rowLengths, takeTokenizerOptions, type CLIPTokenizerOptions } from "./clip_tokenizer_options.js";
import { readTokenizerFiles, type CLIPTokenizerFiles } from "./clip_tokenizer_files.js";
import { openRepository, type RepositorySource } from "./repository.js";
import { takeSaveOptions } from "./save_options.js";
import { saveInto, type SaveTarget } from "./save_target.js";
import { saveTokenizer } from "./save_tokenizer.js";

export type { CLIPTokenizerOptions } from "./clip_tokenizer_options.js";

const MAX_CHARACTERS = 1_000_000;

/** `inputIds[i]` are the ids of text i, start and end tokens among them; `attentionMask[i]` is 1 for each, 0 for padding. */
export interface CLIPTokenizerOutput {
  inputIds: number[][];
  attentionMask: number[][];
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface CLIPTokenizer {
  (texts: string | readonly string[], options?: CLIPTokenizerOptions | null): CLIPTokenizerOutput;
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
  readonly #encoder: BytePairEncoder;
  readonly #typed: AddedTokens;
  readonly #normalized: AddedTokens;
  readonly #special: ReadonlySet<number>;
  readonly #tokens = new Map<number, string>();
  readonly #files: CLIPTokenizerFiles;

  constructor(files: CLIPTokenizerFiles) {
    super();
    this.#files = files;
    const { vocab, merges, added } = files;
    const id = (content: string): number => vocab.get(content) as number; // the files were checked
    this.modelMaxLength = files.modelMaxLength;
    this.bosTokenId = id(files.bos);
    this.eosTokenId = id(files.eos);
    this.padTokenId = id(files.pad);
    this.unkTokenId = id(files.unk);
    const special = [...added.values()].filter((token) => token.special).map(({ content }) => id(content));
    this.#special = new Set([this.bosTokenId, this.eosTokenId, this.padTokenId, this.unkTokenId, ...special]);
    for (const [token, index] of vocab) this.#tokens.set(index, token);
    // What is found in the normalized text is spelled in it, too.
    for (const { content, normalized } of added.values())
      if (normalized) this.#tokens.set(id(content), normalize(content));
    this.#encoder = new BytePairEncoder(vocab, merges, this.unkTokenId);
    const tokens = (normalized: boolean) =>
      [...added.values()]
        .filter((token) => token.normalized === normalized)
        .map((token) => [token, id(token.content)] as const);
    this.#typed = new AddedTokens(tokens(false), (text) => text);
    this.#normalized = new AddedTokens(tokens(true), normalize);
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
   * Writes the files that the tokenizer was loaded from, such that transformers 4 and 5 both load them.
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
    return saveTokenizer(target, folder, this.#files);
  }

  /** Ids of a text, between start and end token; neither cut nor padded. */
  encode(text: string): number[] {
    if (typeof text !== "string") throw new TypeError(`CLIPTokenizer: expected a text, got ${shown(text)}`);
    if (text.length > MAX_CHARACTERS) {
      throw new RangeError(
        `CLIPTokenizer: the text has ${text.length} characters, more than ${MAX_CHARACTERS}; shorten it`,
      );
    }
    const ids = [this.bosTokenId];
    for (const typed of this.#typed.split(text.replace(/\p{Surrogate}/gu, "\ufffd"))) {
      if (typeof typed === "number") {
        ids.push(typed);
        continue;
      }
      for (const piece of this.#normalized.split(normalize(typed))) {
        if (typeof piece === "number") ids.push(piece);
        else for (const word of splitWords(piece)) for (const id of this.#encoder.encode(word)) ids.push(id);
      }
    }
    ids.push(this.eosTokenId);
    return ids;
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

  /** So many of a text's ids: start and end token stay. */
  #cut(ids: readonly number[], length: number): number[] {
    return this.#files.sides.truncation === "left"
      ? [this.bosTokenId, ...ids.slice(ids.length - length + 1)]
      : [...ids.slice(0, length - 1), this.eosTokenId];
  }

  /** The text of some ids, words parted by spaces; bytes that are no UTF-8 become U+FFFD. Throws for an unknown id. */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const { skipSpecialTokens = false } = takeTokenizerOptions("CLIPTokenizer.decode", options, ["skipSpecialTokens"]);
    const bytes: number[] = [];
    for (const id of ids) {
      const token = this.#tokens.get(id);
      if (token === undefined) throw new RangeError(`CLIPTokenizer: there is no token ${id}`);
      if (skipSpecialTokens && this.#special.has(id)) continue;
      const own = Array.from(token, (character) => BYTES.get(character) ?? -1);
      bytes.push(...(own.includes(-1) ? new TextEncoder().encode(token) : own));
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return strip(text.replaceAll("</w>", " "));
  }
}

const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));
