import { shown } from "../../arguments/shown.js";
import { decode, openRequired, readBytes, readJSON } from "../config.js";
import { ConfigError, quote } from "../errors.js";
import { requireAll } from "../missing_files.js";
import { joinPath } from "../paths.js";
import type { Repository } from "../repository.js";
import type { AddedToken } from "./clip_text.js";

type Plain = Record<string, unknown>;

/** All that a CLIPTokenizer is made of. */
export interface CLIPTokenizerFiles {
  /** What byte-pair encoding knows. */
  vocab: Map<string, number>;
  merges: [string, string][];
  /** By content; those of `bos`, `eos`, `unk` and `pad` among them. */
  added: Map<string, AddedToken>;
  /** Of those of them that `vocab` lacks. */
  addedIds: Map<string, number>;
  bos: string;
  eos: string;
  unk: string;
  pad: string;
  modelMaxLength: number;
  /** Where rows are filled up and cut. */
  sides: Readonly<Record<"padding" | "truncation", Side>>;
  /** The files as they were read, by name, for saving. */
  sources: ReadonlyMap<string, Uint8Array>;
}

type Side = "left" | "right";

/** The positions of every CLIP text encoder; files without `model_max_length`, or with Python's 1e30 there, mean it. */
const CLIP_LENGTH = 77;

/**
 * Reads a tokenizer as transformers 5 does: tokenizer.json if it is there, else vocab.json and merges.txt; special tokens
 * from tokenizer_config.json and special_tokens_map.json, others from added_tokens.json.
 *
 * @throws ConfigError naming the file that is missing or malformed
 */
export async function readTokenizerFiles(source: Repository, subfolder?: string): Promise<CLIPTokenizerFiles> {
  const sources = new Map<string, Uint8Array>();
  const repository = recording(source, sources);
  const path = (name: string): string => joinPath(subfolder, name);
  const optional = async (name: string): Promise<Plain> =>
    (await repository.open(path(name))) ? readJSON(repository, path(name)) : {};
  const config = await optional("tokenizer_config.json");
  const hasDecoder = isPlain(config.added_tokens_decoder);
  // As in transformers: the map is of older files, and ignored where the config says more.
  const attributes: Plain = { ...config, ...(hasDecoder ? {} : await optional("special_tokens_map.json")) };
  const json = await optional("tokenizer.json");
  if (source.isLocal && !isPlain(json.model)) await requireTokenizerFiles(source, subfolder);
  const { vocab, merges } = isPlain(json.model)
    ? fromTokenizerJSON(json.model, path("tokenizer.json"))
    : {
        vocab: toVocab(await readJSON(repository, path("vocab.json")), path("vocab.json")),
        merges: parseMerges(await readBytes(repository, path("merges.txt")), path("merges.txt")),
      };

  const added = new Map<string, AddedToken>();
  const addedIds = new Map<string, number>();
  const has = (content: string): boolean => vocab.has(content) || addedIds.has(content);
  const remember = (token: AddedToken): void => void added.set(token.content, token);
  if (!hasDecoder) {
    // Where transformers 4 put what was added to a vocabulary, such as the words of textual inversion.
    const file = path("added_tokens.json");
    const specials = new Set(
      specialTokens(attributes, config).map((token) => (isPlain(token) ? token.content : token)),
    );
    for (const [content, id] of Object.entries(await optional("added_tokens.json"))) {
      const special = specials.has(content);
      remember({ ...toAddedToken(content, file), normalized: !special, special });
      if (!has(content)) addedIds.set(content, toId(id, content, file));
    }
  }
  for (const [id, token] of listed(hasDecoder ? config.added_tokens_decoder : json.added_tokens)) {
    const file = path(hasDecoder ? "tokenizer_config.json" : "tokenizer.json");
    const added = toAddedToken(token, file);
    remember(added);
    if (!has(added.content)) addedIds.set(added.content, toId(id, added.content, file));
  }
  const file = path("tokenizer_config.json");
  const inFiles = new Set(added.keys());
  // What the lists of added tokens say of it counts. A bare string is looked for in the text as it was typed.
  const rememberSpecial = (value: unknown): string => {
    const token = toAddedToken(value, file);
    if (!inFiles.has(token.content)) remember({ ...token, special: true });
    return token.content;
  };
  const special = (name: string, otherwise: string): string => {
    const content = rememberSpecial(attributes[name] ?? otherwise);
    if (!has(content)) {
      throw new ConfigError(`${file}: ${name} ${quote(content)} is not in the vocabulary`);
    }
    return content;
  };
  const bos = special("bos_token", "<|startoftext|>");
  const eos = special("eos_token", "<|endoftext|>");
  const unk = special("unk_token", "<|endoftext|>");
  const pad = special("pad_token", "<|endoftext|>");
  for (const token of moreSpecialTokens(attributes)) {
    const content = rememberSpecial(token);
    if (!has(content)) addedIds.set(content, vocab.size + addedIds.size);
  }
  const side = (name: string): Side => {
    const value = config[name] ?? "right";
    if (value === "left" || value === "right") return value;
    throw new ConfigError(`${file}: ${name} must be "left" or "right", got ${shown(value)}`);
  };
  const sides = { padding: side("padding_side"), truncation: side("truncation_side") };
  const modelMaxLength = maxLength(config.model_max_length);
  return { vocab, merges, added, addedIds, bos, eos, unk, pad, modelMaxLength, sides, sources };
}

/** @throws MissingFilesError naming what readTokenizerFiles() would not find */
export async function requireTokenizerFiles(repository: Repository, subfolder?: string): Promise<void> {
  const path = (name: string): string => joinPath(subfolder, name);
  if (await repository.open(path("tokenizer.json"))) return;
  await requireAll(["vocab.json", "merges.txt"].map((name) => () => openRequired(repository, path(name))));
}

/** The repository, with every file that is read whole put into `sources` under its name without folders. */
function recording(repository: Repository, sources: Map<string, Uint8Array>): Repository {
  return {
    name: repository.name,
    whyMissing: (path) => repository.whyMissing?.(path),
    async open(path) {
      const file = await repository.open(path);
      return (
        file && {
          path: file.path,
          size: file.size,
          async read(start, end) {
            const bytes = await file.read(start, end);
            if (bytes.length === file.size) sources.set(path.slice(path.lastIndexOf("/") + 1), bytes);
            return bytes;
          },
          close: async () => file.close?.(),
        }
      );
    },
  };
}

function maxLength(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 2 && value <= 1_000_000 ? value : CLIP_LENGTH;
}

const PLAIN_TOKEN = { normalized: false, lstrip: false, rstrip: false, single_word: false, special: false };

/** The special tokens that a config names, of any kind. */
const specialTokens = (attributes: Plain, config: Plain): unknown[] => [
  ...["bos_token", "eos_token", "unk_token", "pad_token"].map((name) => attributes[name]),
  // Those of the map are too late for what added_tokens.json has, in transformers.
  ...moreSpecialTokens(config),
];

/** Those without a part of their own, under today's name or transformers 4's. */
function moreSpecialTokens({ extra_special_tokens: extra, additional_special_tokens: older }: Plain): unknown[] {
  const list = extra ?? older;
  return Array.isArray(list) ? list : [];
}

const isPlain = (value: unknown): value is Plain =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function toAddedToken(value: unknown, file: string): AddedToken {
  if (typeof value === "string") return { ...PLAIN_TOKEN, content: value };
  if (!isPlain(value) || typeof value.content !== "string" || value.content === "") {
    throw new ConfigError(`${file}: expected a token, a string or an object with content, got ${shown(value)}`);
  }
  return {
    content: value.content,
    normalized: value.normalized === true,
    lstrip: value.lstrip === true,
    rstrip: value.rstrip === true,
    single_word: value.single_word === true,
    special: value.special === true,
  };
}

/** `added_tokens_decoder` ({"0": token}) or `added_tokens` ([{id: 0, …}]) as pairs. */
function listed(value: unknown): [id: number, token: unknown][] {
  if (Array.isArray(value)) return value.map((token: unknown) => [isPlain(token) ? Number(token.id) : NaN, token]);
  return isPlain(value) ? Object.entries(value).map(([id, token]) => [Number(id), token]) : [];
}

function toVocab(object: Plain, file: string): Map<string, number> {
  const vocab = new Map<string, number>();
  for (const [token, id] of Object.entries(object)) vocab.set(token, toId(id, token, file));
  return vocab;
}

function toId(id: unknown, token: string, file: string): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < 2 ** 24) return id;
  throw new ConfigError(`${file}: token ${quote(token)}: the id must be a whole number, got ${shown(id)}`);
}

function fromTokenizerJSON(model: Plain, file: string): Pick<CLIPTokenizerFiles, "vocab" | "merges"> {
  if (model.type !== "BPE" || model.end_of_word_suffix !== "</w>") {
    throw new ConfigError(
      `${file}: model of type ${shown(model.type)} with end_of_word_suffix ${shown(model.end_of_word_suffix)} ` +
        `is no CLIP vocabulary, which is BPE with "</w>"`,
    );
  }
  if (!isPlain(model.vocab) || !Array.isArray(model.merges))
    throw new ConfigError(`${file}: lacks model.vocab or model.merges`);
  const merges = model.merges.map((merge: unknown, i): [string, string] =>
    toMerge(typeof merge === "string" ? merge.split(" ") : merge, `${file}: merge ${i + 1}`),
  );
  return { vocab: toVocab(model.vocab, file), merges };
}

function toMerge(parts: unknown, where: string): [string, string] {
  if (!Array.isArray(parts) || parts.length !== 2 || parts.some((part) => typeof part !== "string" || part === "")) {
    throw new ConfigError(`${where}: expected two tokens, got ${shown(parts)}`);
  }
  return parts as [string, string];
}

/** One pair a line, best first, behind an optional "#version" line. */
function parseMerges(bytes: Uint8Array, file: string): [string, string][] {
  const merges: [string, string][] = [];
  decode(bytes, file)
    .split("\n")
    .forEach((line, i) => {
      const text = line.replace(/\r$/, "");
      if (text === "" || (i === 0 && text.startsWith("#version"))) return;
      merges.push(toMerge(text.split(" "), `${file}: line ${i + 1}`));
    });
  return merges;
}
