/** How long text files (JSON, merges.txt) may be, whoever sends them: what has no end would fill memory, or a disk. */
import { ConfigError } from "./errors.js";

/** The longest tables there are, of tokens or of a weight's shards, have some megabytes. */
export const MAX_TEXT = 8 * 2 ** 20;

/** Bytes that the file of this name may have. */
export const mostBytesOf = (path: string): number => (/\.(?:json|txt)$/i.test(path) ? MAX_TEXT : Infinity);

/**
 * The error for a text file that is too long.
 * @param where the file, for the message
 * @param size its bytes; null where no more is known than that they are too many
 */
export function tooLong(where: string, size: number | null = null): ConfigError {
  const what =
    size === null
      ? `has more than the ${MAX_TEXT} bytes allowed for a text file`
      : `has ${size} bytes, more than the ${MAX_TEXT} allowed for a text file`;
  return new ConfigError(`${where}: ${what}; is it the right file?`);
}
