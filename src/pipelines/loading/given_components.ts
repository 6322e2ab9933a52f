/** What a caller gives to fromPretrained of a pipeline besides where to load from: is it what the pipeline takes? */
import { pythonRepr } from "../../loader/config_json.js";
import { findLoader } from "./component_loaders.js";
import { componentEntry } from "./pipeline_config.js";

type Values = Readonly<Record<string, unknown>>;

/** The class side of a model. */
export interface ComponentClass {
  readonly className: string;
  [Symbol.hasInstance](value: unknown): boolean;
}

/** What a pipeline's constructor takes, by name. */
interface Signature {
  readonly className: string;
  readonly componentNames: readonly string[];
  readonly optionalNames: readonly string[];
  readonly initArguments: Values;
}

/**
 * Components and constructor arguments among the options, the latter completed by the file's. An optional component that
 * is neither given nor in the file is null. Warns of what is neither, in the options and in the file, as Python does.
 * @param index the content of model_index.json
 * @param fileClass the class that it names, if that is known; its own arguments are nothing to warn of
 */
export function sortOptions(
  Class: Signature,
  options: Values,
  index: Values,
  fileClass: Signature | undefined,
): { given: Record<string, unknown>; initArguments: Record<string, unknown> } {
  const { className, componentNames } = Class;
  const takes = ({ componentNames: names, initArguments }: Signature, name: string): boolean =>
    names.includes(name) || Object.hasOwn(initArguments, name);
  const set = Object.entries(options).filter(([, value]) => value !== undefined);
  const surplus = Object.entries(index).filter(
    ([name]) => fileClass && !name.startsWith("_") && !takes(Class, name) && !takes(fileClass, name),
  );
  if (surplus.length > 0)
    console.warn(
      `The config attributes ${pythonRepr(Object.fromEntries(surplus))} were passed to ${className}, but are not ` +
        "expected and will be ignored. Please verify your model_index.json configuration file.",
    );
  const unexpected = [...surplus, ...set.filter(([name]) => !takes(Class, name))];
  if (unexpected.length > 0) warnOfUnexpected(className, Object.fromEntries(unexpected));

  const isNone = (entry: unknown): boolean => entry === undefined || (Array.isArray(entry) && entry[0] === null);
  const absent = Class.optionalNames.filter((name) => isNone(index[name])).map((name) => [name, null]);
  const given = set.filter(([name]) => componentNames.includes(name));
  const named = Object.keys(Class.initArguments);
  const initArguments = [...Object.entries(index), ...set].filter(([name]) => named.includes(name));
  return {
    given: Object.fromEntries([...absent, ...given]) as Record<string, unknown>,
    initArguments: Object.fromEntries(initArguments),
  };
}

export function warnOfUnexpected(className: string, unexpected: Values): void {
  console.warn(`Keyword arguments ${pythonRepr(unexpected)} are not expected by ${className} and will be ignored.`);
}

/**
 * Given components must be of the family of those that they replace; null replaces any.
 * @throws TypeError naming the component, what it is and what it should be
 */
export function checkFamilies(className: string, given: Values, index: Values): void {
  for (const [name, component] of Object.entries(given)) {
    const [library, fileClass] = Array.isArray(index[name]) ? (index[name] as unknown[]) : [];
    const family = findLoader(library, fileClass)?.family;
    if (!family || component === null || family.has(component)) continue;
    throw new TypeError(
      `${className}: ${name} is of type: ${typeName(component)}, but should be ${family.name}, such as ${String(fileClass)}`,
    );
  }
}

/** Warns of components of another class than the pipeline is written for. */
export function warnOfClasses(classes: Readonly<Record<string, ComponentClass>>, components: Values): void {
  for (const [name, Class] of Object.entries(classes)) {
    const component = components[name];
    if (component === undefined || component === null || component instanceof (Class as never)) continue;
    console.warn(`Expected types for ${name}: (${Class.className},), got ${typeName(component)}.`);
  }
}

/** The class of a component, or what else it is. */
export const typeName = (value: unknown): string =>
  componentEntry(value)[1] ?? (value === null ? "null" : Array.isArray(value) ? "list" : typeof value);
