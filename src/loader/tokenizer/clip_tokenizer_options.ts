/** The options of a tokenizer's calls, transformers' tokenization_utils_base.py: which there are, and what they mean together. */
import { hint } from "../../arguments/options.js";
import { shown } from "../../arguments/shown.js";
import { inOwnSpelling } from "../../arguments/spelling.js";

/** Options of a call; null is as nothing where Python's default is None. */
export interface CLIPTokenizerOptions {
  /** "max_length": every row gets `maxLength` ids. true or "longest": as many as the longest row. Default false: rows keep their lengths. */
  padding?: boolean | "longest" | "max_length" | "do_not_pad";
  /** Cuts rows to `maxLength`, keeping the end token. By default only where `maxLength` is given and `padding` is not. */
  truncation?: boolean | "longest_first" | "only_first" | "do_not_truncate" | null;
  /** By default `modelMaxLength`. */
  maxLength?: number | null;
}

const NAMES: readonly (keyof CLIPTokenizerOptions)[] = ["padding", "truncation", "maxLength"];
const PADDING = [true, false, "longest", "max_length", "do_not_pad"];
const TRUNCATION = [true, false, "longest_first", "only_first", "do_not_truncate"];

/** How long rows become. */
export interface RowLengths {
  /** Ids of a row at most; null where none is cut. */
  cutTo: number | null;
  /** Ids of a row at least. */
  padTo: number | "longest";
}

/**
 * What the options of a call ask for.
 * @param modelMaxLength the length where none is given
 * @throws RangeError naming an option and its value; TypeError for anything but an object
 */
export function rowLengths(given: CLIPTokenizerOptions | null | undefined, modelMaxLength: number): RowLengths {
  const {
    padding = false,
    truncation: wanted,
    maxLength: length,
  } = takeTokenizerOptions("CLIPTokenizer", given, NAMES);
  checkChoice("padding", padding, PADDING);
  const truncation = wanted ?? impliedTruncation(padding, length);
  checkChoice("truncation", truncation, TRUNCATION);
  const maxLength = length ?? modelMaxLength;
  if (!Number.isInteger(maxLength) || maxLength < 2)
    throw new RangeError(
      `CLIPTokenizer: maxLength must be a whole number from 2 (start and end token), got ${shown(maxLength)}`,
    );
  const cuts = truncation !== false && truncation !== "do_not_truncate";
  const pads = padding === true || padding === "longest" ? "longest" : padding === "max_length" ? maxLength : 0;
  return { cutTo: cuts ? maxLength : null, padTo: pads };
}

/**
 * Options in either spelling; others are warned of, as transformers does.
 * @throws TypeError for anything but an object, and for an option in both spellings
 */
export function takeTokenizerOptions<T extends object>(
  caller: string,
  given: T | null | undefined,
  known: readonly string[],
): Partial<T> {
  const options = inOwnSpelling(given, known, caller);
  const strange = Object.entries(options).filter(([name, value]) => value !== undefined && !known.includes(name));
  if (strange.length > 0) {
    const names = strange.map(([name]) => `\`${name}\``).join(", ");
    console.warn(`${caller}: options that it does not have are ignored: ${names} ${hint(known)}`);
  }
  return options;
}

/** A length alone is meant to cut, as in transformers. */
function impliedTruncation(padding: unknown, length: unknown): boolean {
  if (length === undefined || length === null || padding !== false) return false;
  console.warn(
    "CLIPTokenizer: `maxLength` is given without `truncation`, so texts are cut to it; say `truncation: true`, or false to " +
      "keep them whole",
  );
  return true;
}

function checkChoice(name: string, value: unknown, choices: readonly unknown[]): void {
  if (choices.includes(value)) return;
  throw new RangeError(
    `CLIPTokenizer: \`${name}\` must be one of ${choices.map(shown).join(", ")}, got ${shown(value)}`,
  );
}
