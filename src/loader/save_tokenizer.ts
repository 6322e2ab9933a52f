/** The files of a saved CLIP tokenizer, such that transformers 4 and 5 both load them. */
import { inFolder, type SaveTarget } from "./save_target.js";

/** All names that a loader of CLIP tokenizers looks at. */
const TOKENIZER_FILES = [
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "tokenizer.json",
  "added_tokens.json",
] as const;

/**
 * Writes the files as they were loaded. A tokenizer that came as tokenizer.json alone (transformers 5) gets vocab.json and
 * merges.txt besides, which transformers 4's CLIPTokenizer needs. Files of another tokenizer in the folder are removed.
 */
export async function saveTokenizer(
  target: SaveTarget,
  folder: string,
  { sources, vocab, merges }: TokenizerContent,
): Promise<void> {
  const files = new Map(sources);
  const encoder = new TextEncoder();
  if (!files.has("vocab.json")) files.set("vocab.json", encoder.encode(JSON.stringify(Object.fromEntries(vocab))));
  if (!files.has("merges.txt")) {
    const lines = ["#version: 0.2", ...merges.map((pair) => pair.join(" "))];
    files.set("merges.txt", encoder.encode(`${lines.join("\n")}\n`));
  }
  const before = await target.list(folder);
  for (const [name, bytes] of files) await target.write(inFolder(folder, name), [bytes]);
  for (const name of TOKENIZER_FILES)
    if (before.includes(name) && !files.has(name)) await target.remove(inFolder(folder, name));
}

export interface TokenizerContent {
  /** The files as they were read, by name. */
  readonly sources: ReadonlyMap<string, Uint8Array>;
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
}
