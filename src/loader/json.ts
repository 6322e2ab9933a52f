import { quote } from "./errors.js";

/** serde_json, which reads safetensors headers in the reference, stops at the same depth. */
const MAX_DEPTH = 128;

/** Whether Python's `Infinity`, `-Infinity` and `NaN` are allowed, and lone surrogates in strings, and ints told from floats. */
export interface JSONOptions {
  python?: boolean;
}

/** By object that was read: the keys whose values are, or hold, whole numbers with a point or an exponent. */
const floats = new WeakMap<object, ReadonlySet<string>>();
const NONE: ReadonlySet<string> = new Set();

/** The keys of an object that whole numbers were written for as Python writes floats, `1.0`; undefined for another object. */
export const writtenAsFloat = (object: object): ReadonlySet<string> | undefined => floats.get(object);

/**
 * A JSON reader that sees what JSON.parse hides: duplicate keys, the spelling of numbers, nesting, lone surrogates.
 * Errors are SyntaxErrors that name line and column.
 */
export class JSONScanner {
  position = 0;
  #depth = 0;
  /** Whole numbers written as floats so far. */
  #wholeFloats = 0;

  constructor(
    readonly text: string,
    readonly options: JSONOptions = {},
  ) {}

  fail(what: string, at = this.position): never {
    const before = this.text.slice(0, at);
    const line = before.split("\n").length;
    throw new SyntaxError(`${what} at line ${line} column ${at - before.lastIndexOf("\n")}`);
  }

  #unexpected(wanted: string): never {
    const rest = this.text.slice(this.position, this.position + 20);
    this.fail(rest === "" ? `the text ends where ${wanted} should be` : `expected ${wanted}, got ${quote(rest)}`);
  }

  /** Code of the next character that is no space (NaN at the end), which stays unread. */
  peek(): number {
    const { text } = this;
    let code = text.charCodeAt(this.position);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++this.position);
    return code;
  }

  expect(character: string): void {
    if (this.peek() !== character.charCodeAt(0)) this.#unexpected(`"${character}"`);
    this.position++;
  }

  end(): void {
    if (!Number.isNaN(this.peek())) this.#unexpected("the end");
  }

  /** Calls `field(key)` at each value of an object, which it must read. */
  object(field: (key: string) => void): void {
    this.#list("{", "}", () => {
      const key = this.string();
      this.expect(":");
      field(key);
    });
  }

  /** Calls `item(index)` at each value of an array, which it must read. */
  array(item: (index: number) => void): void {
    this.#list("[", "]", item);
  }

  #list(open: string, close: string, item: (index: number) => void): void {
    this.expect(open);
    if (++this.#depth > MAX_DEPTH) this.fail(`nesting deeper than ${MAX_DEPTH}`);
    if (this.peek() !== close.charCodeAt(0)) {
      for (let index = 0; ; index++) {
        item(index);
        if (this.peek() !== 0x2c) break;
        this.position++;
      }
    }
    if (this.peek() !== close.charCodeAt(0)) this.#unexpected(`"," or "${close}"`);
    this.position++;
    this.#depth--;
  }

  string(): string {
    this.expect('"');
    const start = this.position;
    const { text } = this;
    let escaped = false;
    for (;;) {
      const code = text.charCodeAt(this.position);
      if (code === 0x22) break;
      if (code === 0x5c) {
        escaped = true;
        this.position++;
      } else if (Number.isNaN(code)) {
        this.fail("a string does not end", start - 1);
      } else if (code < 0x20) {
        this.fail("a control character inside a string");
      }
      this.position++;
    }
    const raw = text.slice(start, this.position++);
    if (!escaped) return raw;
    let value: string;
    try {
      value = JSON.parse(`"${raw}"`) as string;
    } catch {
      this.fail("a bad escape in a string", start - 1);
    }
    if (!this.options.python && /\p{Surrogate}/u.test(value))
      this.fail("half of a surrogate pair in a string", start - 1);
    return value;
  }

  /** The spelling of a number, checked against JSON's grammar. */
  number(): string {
    this.peek();
    const grammar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    grammar.lastIndex = this.position;
    const match = grammar.exec(this.text);
    if (!match) this.#unexpected("a number");
    this.position = grammar.lastIndex;
    return match[0];
  }

  /** Any value. A repeated key and the key `__proto__` are errors. */
  value(): unknown {
    const code = this.peek();
    if (code === 0x22) return this.string();
    if (code === 0x7b) {
      const object: Record<string, unknown> = {};
      let keys: Set<string> | undefined;
      this.object((key) => {
        if (key === "__proto__") this.fail('the key "__proto__" is refused');
        if (Object.hasOwn(object, key)) this.fail(`the key ${quote(key)} stands twice`);
        const before = this.#wholeFloats;
        object[key] = this.value();
        if (this.#wholeFloats > before) (keys ??= new Set()).add(key);
      });
      if (this.options.python) floats.set(object, keys ?? NONE);
      return object;
    }
    if (code === 0x5b) {
      const items: unknown[] = [];
      this.array(() => items.push(this.value()));
      return items;
    }
    if (this.#word("true")) return true;
    if (this.#word("false")) return false;
    if (this.#word("null")) return null;
    if (this.options.python) {
      if (this.#word("NaN")) return NaN;
      if (this.#word("Infinity")) return Infinity;
      if (this.#word("-Infinity")) return -Infinity;
    }
    if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      const written = this.number();
      const value = Number(written);
      if (Number.isInteger(value) && /[.eE]/.test(written)) this.#wholeFloats++;
      return value;
    }
    return this.#unexpected("a value");
  }

  #word(word: string): boolean {
    if (!this.text.startsWith(word, this.position)) return false;
    this.position += word.length;
    return true;
  }
}
