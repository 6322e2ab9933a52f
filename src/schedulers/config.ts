/** The config machinery of diffusers' configuration_utils.py: a scheduler's constructor defaults are its schema. */
import { checkConfigObject } from "../arguments/config_object.js";
import { shown } from "../arguments/shown.js";
import { refuseRespelt } from "../arguments/spelling.js";
import { pythonRepr } from "../loader/config_json.js";
import { floatsOfFile } from "../loader/number_types.js";

/** A config as an object of JSON: `scheduler.config`, or what `loadConfig` reads. */
export type Config = Readonly<Record<string, unknown>>;

/**
 * A text, and the values of it that a class knows, for editors to offer. Others compile, too: the texts of JSON and of a caller's
 * objects are no literals to TypeScript.
 */
export type Choice<T extends string> = T | (string & Record<never, never>);

/** What the machinery needs to know of a class. */
export interface Schema {
  readonly className: string;
  readonly defaults: Config;
  /** Old names of arguments and what they are called now. */
  readonly deprecatedKeys: Readonly<Record<string, string>>;
}

/** Keys that `fromConfig` takes from the new class's defaults instead of from the config. */
const DEFAULTED = "_use_default_values";

/**
 * The config of a new object: every argument with its value, private keys kept, and under `_use_default_values` the names
 * that were not given.
 *
 * @throws TypeError for anything but a plain object, a key that the class does not have, a value of another type than its
 *   default
 */
export function registerConfig(schema: Schema, given: Config): Config {
  const { className, defaults, deprecatedKeys } = schema;
  checkConfigObject(className, given);
  refuseRespelt(className, given, configKeys(schema));
  const config: Record<string, unknown> = { _class_name: className };
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    const current = Object.hasOwn(deprecatedKeys, key) ? deprecatedKeys[key] : key;
    if (current !== key) console.warn(`The \`${key}\` argument is deprecated. Please use \`${current}\` instead.`);
    if (key.startsWith("_")) config[key] = value;
    else if (!Object.hasOwn(defaults, current)) throw new TypeError(unknownKey(schema, key));
    else if (value !== undefined) options[current] = checkType(className, current, value, defaults[current]);
  }
  for (const key of Object.keys(defaults)) config[key] = Object.hasOwn(options, key) ? options[key] : defaults[key];
  const defaulted = Object.keys(defaults).filter((key) => !Object.hasOwn(options, key));
  if (defaulted.length > 0) config[DEFAULTED] = defaulted;
  return freeze(config);
}

/** All names that a class's options have or had. */
const configKeys = ({ defaults, deprecatedKeys }: Schema): string[] => [
  ...Object.keys(defaults),
  ...Object.keys(deprecatedKeys),
];

/** What `fromConfig` gives the constructor, the keys that it keeps hidden for other classes, the overrides left over. */
export interface Extracted {
  init: Config;
  hidden: Config;
  unused: Config;
}

/**
 * Sorts the keys of a config (ConfigMixin.extract_init_dict): those of `_use_default_values` are dropped, the class takes
 * its own, overrides win, the rest is hidden. Warns of keys that neither a compatible class nor the config's own class has.
 *
 * @throws TypeError for an override that is a key of the class in camelCase
 * @param compatible the classes whose keys may be there
 * @param find looks up the config's own class by its `_class_name`
 */
export function extractInit(
  schema: Schema,
  given: Config,
  overrides: Config,
  compatible: readonly Schema[],
  find: (className: string) => Schema | undefined,
): Extracted {
  const { className, defaults, deprecatedKeys } = schema;
  const defaulted = new Set(Array.isArray(given[DEFAULTED]) ? (given[DEFAULTED] as unknown[]) : []);
  const config = Object.fromEntries(Object.entries(given).filter(([key]) => !defaulted.has(key) && key !== DEFAULTED));

  const origin = config._class_name ?? className;
  if (typeof origin !== "string" && !Array.isArray(origin))
    throw new TypeError(`${className}.fromConfig: _class_name must be a string, got ${shown(origin)}`);
  const own = typeof origin === "string" ? find(origin) : undefined;
  const expected = [...compatible, ...(own ? [own] : [])];
  const known = (key: string): boolean => expected.some((other) => Object.hasOwn(other.defaults, key));

  const init: Record<string, unknown> = {};
  const unexpected: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    const private_ = key.startsWith("_") || key === "quantization_config";
    if (Object.hasOwn(defaults, key) || Object.hasOwn(deprecatedKeys, key)) init[key] = value;
    else if (!private_ && !known(key)) unexpected[key] = value;
  }
  refuseRespelt(className, overrides, configKeys(schema));
  for (const [key, value] of Object.entries(overrides))
    if (Object.hasOwn(defaults, key) || Object.hasOwn(deprecatedKeys, key)) init[key] = value;
  if (Object.keys(unexpected).length > 0)
    console.warn(
      `The config attributes ${pythonRepr(unexpected, floatsOfFile(given))} were passed to ${className}, but are not expected and will be ` +
        "ignored. Please verify your scheduler_config.json configuration file.",
    );
  const hidden = Object.fromEntries(Object.entries(config).filter(([key]) => !Object.hasOwn(init, key)));
  const unused = Object.fromEntries(Object.entries(overrides).filter(([key]) => !Object.hasOwn(init, key)));
  return { init, hidden: "_class_name" in hidden ? { ...hidden, _class_name: className } : hidden, unused };
}

/** Freezes a config and the lists and objects in it (copies, so that the caller's own stay as they are). */
export function freeze(config: Config): Config {
  const copy = (value: unknown): unknown => {
    if (Array.isArray(value)) return Object.freeze(value.map(copy));
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)])));
  };
  return copy(config) as Config;
}

/**
 * Refuses a value whose type is not that of the default. As in Python null stands for "none" everywhere, and 0 and 1 for
 * false and true, which files written by hand have; they are kept and print as they were given.
 */
function checkType(className: string, key: string, value: unknown, usual: unknown): unknown {
  if (value === null || usual === null || typeof value === typeof usual) return value;
  if (typeof usual === "boolean" && (value === 0 || value === 1)) return value;
  const wanted = typeof usual === "object" ? "list" : typeof usual;
  throw new TypeError(`${className}: ${key} must be a ${wanted}, got ${shown(value)}`);
}

const unknownKey = ({ className, defaults }: Schema, key: string): string =>
  `${className}: has no option ${key}; it has ${Object.keys(defaults).join(", ")}`;

/** A value of the config, with those of a compatible class's key that mean nothing here turned into `instead`. */
export function translated<T extends string>(value: string, foreign: readonly string[], instead: T): string {
  return foreign.includes(value) ? instead : value;
}

/** Checks a choice; the error names key and value. */
export function oneOf<T extends string>(className: string, key: string, value: unknown, choices: readonly T[]): T {
  if (choices.includes(value as T)) return value as T;
  throw new RangeError(
    `${className}: ${key} must be one of ${choices.map((choice) => `"${choice}"`).join(", ")}, got ${shown(value)}`,
  );
}
