import type { AddedToken } from "./clip_text.js";
import { CLIPTokenizer } from "./clip_tokenizer.js";

const [START, END] = ["<|startoftext|>", "<|endoftext|>"];

const special = (content: string): [string, AddedToken] => [
  content,
  { content, normalized: false, lstrip: false, rstrip: false, single_word: false, special: true },
];

/** Of the empty text alone: for pipelines whose calls are counted and not made, which have none of their own. */
export function blankTokenizer(modelMaxLength: number): CLIPTokenizer {
  return new CLIPTokenizer({
    vocab: new Map([START, END].map((token, id) => [token, id])),
    merges: [],
    added: new Map([special(START), special(END)]),
    addedIds: new Map(),
    ...{ bos: START, eos: END, unk: END, pad: END },
    modelMaxLength,
    sides: { padding: "right", truncation: "right" },
    sources: new Map(),
  });
}
