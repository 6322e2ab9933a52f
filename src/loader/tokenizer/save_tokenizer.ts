/** The files of a saved CLIP tokenizer, such that transformers 4 and 5 both load them. */
import { inFolder, type SaveTarget } from "../save_target.js";
import type { AddedToken } from "./clip_text.js";
import type { CLIPTokenizerFiles } from "./clip_tokenizer_files.js";

/** All names that a loader of CLIP tokenizers looks at. */
const TOKENIZER_FILES = [
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "tokenizer.json",
  "added_tokens.json",
] as const;

/** Tokens that were added, by content, and the ids of those that byte-pair encoding does not know. */
interface Added {
  readonly added: ReadonlyMap<string, AddedToken>;
  readonly addedIds: ReadonlyMap<string, number>;
}

/**
 * Writes the files as they were loaded, but for tokens that were added or taken away since. A tokenizer that came as tokenizer.json alone
 * (transformers 5) gets vocab.json and merges.txt besides, which transformers 4's CLIPTokenizer needs. Files of another tokenizer in the
 * folder are removed.
 * @param now the added tokens that there are by now
 */
export async function saveTokenizer(
  target: SaveTarget,
  folder: string,
  loaded: CLIPTokenizerFiles,
  now: Added,
): Promise<void> {
  const { sources, vocab, merges } = loaded;
  const files = new Map(sources);
  const encoder = new TextEncoder();
  if (!files.has("vocab.json")) files.set("vocab.json", encoder.encode(JSON.stringify(Object.fromEntries(vocab))));
  if (!files.has("merges.txt")) {
    const lines = ["#version: 0.2", ...merges.map((pair) => pair.join(" "))];
    files.set("merges.txt", encoder.encode(`${lines.join("\n")}\n`));
  }
  if (!alike(loaded, now)) {
    files.delete("added_tokens.json");
    for (const [name, value] of addedFiles(loaded, now))
      files.set(name, encoder.encode(`${JSON.stringify(value, null, 2)}\n`));
  }
  const before = await target.list(folder);
  for (const [name, bytes] of files) await target.write(inFolder(folder, name), [bytes]);
  for (const name of TOKENIZER_FILES)
    if (before.includes(name) && !files.has(name)) await target.remove(inFolder(folder, name));
}

const alike = (a: Added, b: Added): boolean =>
  a.added.size === b.added.size &&
  [...a.added].every(([content, token]) => b.added.get(content) === token) &&
  [...a.addedIds].every(([content, id]) => b.addedIds.get(content) === id);

/** The files that name added tokens: for transformers 5 and 4.34 on, for tokenizer.json's readers, and for all before. */
function addedFiles(
  { sources, vocab, modelMaxLength, bos, eos, unk, pad }: CLIPTokenizerFiles,
  { added, addedIds }: Added,
): [name: string, value: unknown][] {
  const read = (name: string): Record<string, unknown> => {
    const bytes = sources.get(name);
    return bytes ? (JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>) : {};
  };
  const tokens = [...added.values()]
    .map((token) => [vocab.get(token.content) ?? addedIds.get(token.content)!, token] as const)
    .sort(([a], [b]) => a - b);
  const config = {
    ...read("tokenizer_config.json"),
    // With the list, nothing is read of special_tokens_map.json.
    ...{ bos_token: bos, eos_token: eos, unk_token: unk, pad_token: pad },
    model_max_length: modelMaxLength, // Python's 1e30 would be written as a float
    added_tokens_decoder: Object.fromEntries(tokens),
  };
  const changed: [string, unknown][] = [["tokenizer_config.json", config]];
  if (addedIds.size > 0) changed.push(["added_tokens.json", Object.fromEntries(addedIds)]);
  if (sources.has("tokenizer.json"))
    changed.push([
      "tokenizer.json",
      { ...read("tokenizer.json"), added_tokens: tokens.map(([id, token]) => ({ id, ...token })) },
    ]);
  return changed;
}
