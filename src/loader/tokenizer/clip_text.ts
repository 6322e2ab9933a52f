// What happens to a prompt before byte-pair encoding, as in transformers 5's CLIPTokenizer (the tokenizers library).
import { isPlain } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";

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

/** A token to add; what is not said is false, but for `normalized`, which is the contrary of `special`. */
export type NewToken = Partial<AddedToken> & Pick<AddedToken, "content">;

/** @throws TypeError for anything but tokens */
export function newTokens(caller: string, given: unknown, special: boolean): AddedToken[] {
  const list: unknown[] = Array.isArray(given) ? given : [given];
  return list.map((token) => {
    const own: Partial<AddedToken> =
      typeof token === "string" ? { content: token } : isPlain(token) ? (token as Partial<AddedToken>) : {};
    if (typeof own.content !== "string")
      throw new TypeError(
        `${caller}: a token is a text, or an object that has one as its content, got ${shown(token)}`,
      );
    const isSpecial = special || own.special === true;
    const { content, normalized = !isSpecial, lstrip = false, rstrip = false, single_word = false } = own;
    return { content, normalized, lstrip, rstrip, single_word, special: isSpecial };
  });
}

/** What \w means there: marks belong to a word, numbers such as ² do not. */
const WORD_CHARACTER = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";

const ENDS_IN_WORD = new RegExp(`${WORD_CHARACTER}$`, "u");
const BEGINS_WITH_WORD = new RegExp(`^${WORD_CHARACTER}`, "u");
const IS_SPACE = new RegExp(`^[${SPACE}]$`);

/** A token as it was found: `text` has the spaces, too, that went with it. */
export interface FoundToken {
  id: number;
  text: string;
}

/** Finds added tokens, leftmost first, the longest of those; what `lstrip` and `rstrip` cut off goes with them. */
export class AddedTokens {
  readonly #pattern: RegExp | null;
  readonly #tokens = new Map<string, AddedToken & { id: number }>();

  /** @param tokens with their ids, all of one kind, the first of equal ones counts; `prepare` is what the text has gone through */
  constructor(tokens: readonly (readonly [AddedToken, number])[], prepare: (text: string) => string) {
    for (const [token, id] of tokens) {
      const content = prepare(token.content);
      if (content !== "" && !this.#tokens.has(content)) this.#tokens.set(content, { ...token, id });
    }
    const longest = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    // Not the hyphen of names such as <cat-toy>: "\-" is an error there.
    const sources = longest.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    this.#pattern = sources.length ? new RegExp(sources.join("|"), "gu") : null;
  }

  /** The text's pieces in order: tokens, and the texts between. */
  split(text: string): (string | FoundToken)[] {
    if (!this.#pattern) return [text];
    const pieces: (string | FoundToken)[] = [];
    let position = 0;
    for (const { 0: content, index } of text.matchAll(this.#pattern)) {
      const { id, lstrip, rstrip, single_word: single } = this.#tokens.get(content)!;
      let [start, end] = [index, index + content.length];
      // One that is no word of its own is not looked into for shorter ones.
      if (single && (ENDS_IN_WORD.test(before(text, start)) || BEGINS_WITH_WORD.test(behind(text, end)))) continue;
      if (lstrip) {
        while (start > position && IS_SPACE.test(text[start - 1])) start--;
        start = Math.max(start, position); // behind what the last one took of its spaces
      }
      if (rstrip) while (end < text.length && IS_SPACE.test(text[end])) end++;
      if (start > position) pieces.push(text.slice(position, start));
      pieces.push({ id, text: text.slice(start, end) });
      position = end;
    }
    if (position < text.length) pieces.push(text.slice(position));
    return pieces;
  }
}

/** The character before a place, and the one there, which may be pairs. */
const before = (text: string, at: number): string => text.slice(Math.max(0, at - 2), at);
const behind = (text: string, at: number): string => text.slice(at, at + 2);
