import { ConfigError, quote } from "../errors.js";

const END_OF_WORD = "</w>";
/** Words kept with their ids; a prompt has some hundreds. */
const CACHE_SIZE = 20_000;
/** Longer "words" (one run of letters without a space) are rare and would fill memory. */
const CACHED_LENGTH = 64;
const PAIR = 2 ** 26;

/**
 * The printable stand-in for each byte, as GPT-2's byte-level vocabularies spell it (openai/gpt-2 encoder.py,
 * bytes_to_unicode): printable Latin-1 is itself, the other bytes are 256, 257, ….
 */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  const printable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

/** Byte-pair encoding of single words, over bytes, with the suffix `</w>` on the last one (Sennrich et al. 2016; CLIP). */
export class BytePairEncoder {
  readonly #ranks = new Map<number, number>();
  readonly #merged: number[] = [];
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  readonly #cache = new Map<string, readonly number[]>();
  readonly #utf8 = new TextEncoder();

  /**
   * @param vocab token -> id
   * @param merges pairs of tokens, best first
   * @param unknown id for a byte that the vocabulary lacks
   * @throws ConfigError if a merge names a token that is not in the vocabulary
   */
  constructor(vocab: ReadonlyMap<string, number>, merges: readonly (readonly [string, string])[], unknown: number) {
    this.#first = Int32Array.from(BYTE_CHARACTERS, (character) => vocab.get(character) ?? unknown);
    this.#last = Int32Array.from(BYTE_CHARACTERS, (character) => vocab.get(character + END_OF_WORD) ?? unknown);
    merges.forEach(([left, right], rank) => {
      const ids = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
      const [a, b, merged] = ids;
      if (a === undefined || b === undefined || merged === undefined) {
        const missing = [left, right, left + right][ids.indexOf(undefined)];
        throw new ConfigError(
          `merge ${rank + 1} (${quote(`${left} ${right}`)}): the vocabulary lacks ${quote(missing)}; ` +
            "do vocab.json and merges.txt belong together?",
        );
      }
      this.#ranks.set(a * PAIR + b, rank);
      this.#merged.push(merged);
    });
  }

  /** Ids of one word (no spaces; not empty). */
  encode(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known) return known;
    const ids = this.#merge(word);
    if (word.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHE_SIZE) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  /** Merges the best pair, the leftmost of equals, until none is left: O(n log n) with a heap and a linked list. */
  #merge(word: string): number[] {
    const bytes = this.#utf8.encode(word);
    const count = bytes.length;
    const symbols = Int32Array.from(bytes, (byte, i) => (i === count - 1 ? this.#last[byte] : this.#first[byte]));
    const next = Int32Array.from({ length: count }, (_, i) => (i === count - 1 ? -1 : i + 1));
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    const rankAt = (i: number): number | undefined =>
      next[i] < 0 ? undefined : this.#ranks.get(symbols[i] * PAIR + symbols[next[i]]);
    const heap = new NumberHeap();
    const consider = (i: number): void => {
      const rank = rankAt(i);
      if (rank !== undefined) heap.push(rank * PAIR + i);
    };
    for (let i = 0; i < count - 1; i++) consider(i);
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const i = best % PAIR;
      const rank = (best - i) / PAIR;
      // What was pushed for symbols merged since is stale.
      if (symbols[i] < 0 || rankAt(i) !== rank) continue;
      const gone = next[i];
      symbols[i] = this.#merged[rank];
      symbols[gone] = -1;
      next[i] = next[gone];
      if (next[i] >= 0) previous[next[i]] = i;
      if (previous[i] >= 0) consider(previous[i]);
      consider(i);
    }
    const ids: number[] = [];
    for (let i = 0; i >= 0; i = next[i]) ids.push(symbols[i]);
    return ids;
  }
}

/** A binary heap that gives the smallest number first. */
class NumberHeap {
  readonly #items: number[] = [];

  push(value: number): void {
    const items = this.#items;
    let at = items.length;
    while (at > 0 && items[(at - 1) >> 1] > value) {
      items[at] = items[(at - 1) >> 1];
      at = (at - 1) >> 1;
    }
    items[at] = value;
  }

  pop(): number | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < items.length && items[child + 1] < items[child]) child++;
      if (child >= items.length || items[child] >= last) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return top;
  }
}
