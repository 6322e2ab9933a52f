// What happens to a prompt before byte-pair encoding, as in transformers 5's CLIPTokenizer (the tokenizers library).

/** Unicode White_Space, which \s means there; JavaScript's \s lacks U+0085 and has U+FEFF. */
const SPACE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const SPACES = new RegExp(`[${SPACE}]+`, "g");

/** NFC, one space for each run of spaces, lower case letter by letter (a final Greek sigma is no exception). */
export function normalize(text: string): string {
  return text.normalize("NFC").replace(SPACES, " ").replaceAll("Σ", "σ").toLowerCase();
}

const WORD = new RegExp(
  `<\\|(?:start|end)oftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^${SPACE}\\p{L}\\p{N}]+`,
  "gu",
);
const MARKER = /^(<\|)(startoftext|endoftext)(\|>)$/;

/**
 * Splits normalized text into words: contractions, runs of letters, single digits, runs of symbols. `<|endoftext|>` typed
 * in capitals is no special token, but keeps its symbols apart from those behind it.
 */
export function splitWords(text: string): string[] {
  return (text.match(WORD) ?? []).flatMap((word) => MARKER.exec(word)?.slice(1) ?? word);
}

/** Python's str.strip(). */
export function strip(text: string): string {
  return text.replace(EDGES, "");
}

const EDGES = new RegExp(`^[${SPACE}\\u001c-\\u001f]+|[${SPACE}\\u001c-\\u001f]+$`, "g");

/** A token that is cut out of the text before anything else; `normalized`: out of the normalized text. */
export interface AddedToken {
  content: string;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
  /** Left out of a decoded text where that is asked for. */
  special: boolean;
}

/** What \w means there: marks belong to a word, numbers such as ² do not. */
const WORD_CHARACTER = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";

const IS_SPACE = new RegExp(`^[${SPACE}]$`);

/** Finds added tokens, leftmost first, the longest of those; what `lstrip` and `rstrip` cut off goes with them. */
export class AddedTokens {
  readonly #pattern: RegExp | null;
  readonly #ids = new Map<string, number>();
  /** By the number of the pattern's group. */
  readonly #lstrip: readonly boolean[];

  /** @param tokens with their ids, all of one kind; `prepare` is what the text has gone through */
  constructor(tokens: readonly (readonly [AddedToken, number])[], prepare: (text: string) => string) {
    const alternatives: { content: string; source: string; lstrip: boolean }[] = [];
    for (const [{ lstrip, rstrip, single_word: single, ...token }, id] of tokens) {
      const content = prepare(token.content);
      if (content === "") continue;
      this.#ids.set(content, id);
      // Not the hyphen of names such as <cat-toy>: "\-" is an error there.
      const source = `(${content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")})`;
      const [before, after] = single ? [`(?<!${WORD_CHARACTER})`, `(?!${WORD_CHARACTER})`] : ["", ""];
      alternatives.push({ content, source: before + source + after + (rstrip ? `[${SPACE}]*` : ""), lstrip });
    }
    alternatives.sort((a, b) => b.content.length - a.content.length);
    this.#lstrip = [false, ...alternatives.map(({ lstrip }) => lstrip)];
    this.#pattern = alternatives.length ? new RegExp(alternatives.map(({ source }) => source).join("|"), "gu") : null;
  }

  /** The text's pieces in order: a number for a token found, a string for the text between. */
  split(text: string): (string | number)[] {
    if (!this.#pattern) return [text];
    const pieces: (string | number)[] = [];
    let position = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const group = match.findIndex((content, i) => i > 0 && content !== undefined);
      let start = match.index;
      // Not in the pattern: it would try each space of a long run as the first one, and walk the rest of the run each time.
      if (this.#lstrip[group]) while (start > position && IS_SPACE.test(text[start - 1])) start--;
      if (start > position) pieces.push(text.slice(position, start));
      pieces.push(this.#ids.get(match[group]) as number);
      position = match.index + match[0].length;
    }
    if (position < text.length) pieces.push(text.slice(position));
    return pieces;
  }
}
