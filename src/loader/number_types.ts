/** Which numbers of a config are Python's ints and which its floats: JavaScript has one type for both, files have two. */
import { writtenAsFloat } from "./json.js";

/** By key, of a config that came from a file: whether its numbers are floats there. */
type NumberTypes = ReadonlyMap<string, boolean>;
const known = new WeakMap<object, NumberTypes>();

function numberTypes(config: object): NumberTypes {
  const floats = writtenAsFloat(config);
  return known.get(config) ?? new Map(floats && Object.keys(config).map((key) => [key, floats.has(key)]));
}

/** Lets the numbers of `config` that it has from `source` print as they do there. Returns `config`. */
export function keepNumberTypes<T extends object>(config: T, source: object): T {
  const value = (of: object, key: string): string => String((of as Record<string, unknown>)[key]);
  const kept = [...numberTypes(source)].filter(([key]) => value(config, key) === value(source, key));
  if (kept.length > 0) known.set(config, new Map(kept));
  return config;
}

/** Keys of a config that a file had floats for. */
export const floatsOfFile = (config: object): ReadonlySet<string> =>
  new Set([...numberTypes(config)].flatMap(([key, isFloat]) => (isFloat ? [key] : [])));

/**
 * Keys of a config whose whole numbers print with a point: those that a file had so, and the usual ones that none had.
 * @param usual keys that hold floats in Python
 */
export function floatKeys(config: object, usual: Iterable<string>): ReadonlySet<string> {
  const types = numberTypes(config);
  return new Set([...[...usual].filter((key) => !types.has(key)), ...floatsOfFile(config)]);
}
