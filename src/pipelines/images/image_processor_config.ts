/** What the contents of preprocessor_config.json of transformers' image processors have in common, in the form of today and in that of 2022. */
import { checkConfigObject } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";

/** Pixels. */
export interface Sides {
  readonly height: number;
  readonly width: number;
}

/** What is done to the numbers of pictures that have their size. */
export interface ImageProcessorConfig {
  readonly do_rescale: boolean;
  readonly rescale_factor: number;
  readonly do_normalize: boolean;
  /** Of red, green and blue. */
  readonly image_mean: readonly number[];
  readonly image_std: readonly number[];
}

export type Values = Readonly<Record<string, unknown>>;
type ConfigRule = (value: unknown) => boolean;

/** Names that files have for the class, which is written by its own. */
const CLASS_NAMES = ["feature_extractor_type", "image_processor_type", "processor_class"];

/** Models take a few hundred pixels; more would fill memory. */
const MAX_SIDE = 8192;
export const isSide = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= MAX_SIDE;
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
export const isBoolean: ConfigRule = (value) => typeof value === "boolean";

export const isSides: ConfigRule = (value) => hasSides(value, ["height", "width"]);
export const hasSides = (value: unknown, names: readonly string[]): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).sort().join() === names.join() &&
  Object.values(value).every(isSide);

const NUMBER_RULES: Readonly<Record<keyof ImageProcessorConfig, ConfigRule>> = {
  do_rescale: isBoolean,
  rescale_factor: isNumber,
  do_normalize: isBoolean,
  image_mean: (value) => Array.isArray(value) && value.length === 3 && value.every(isNumber),
  image_std: (value) => Array.isArray(value) && value.length === 3 && value.every((n) => isNumber(n) && n !== 0),
};

/**
 * A config in full. Keys that nobody here reads are kept, but for names of the class.
 * @param sizes by key what one number, the size of a file of 2022, means
 * @throws TypeError naming a key whose value nothing here computes
 */
export function processorConfig<C extends ImageProcessorConfig>(
  className: string,
  given: Values,
  {
    defaults,
    rules,
    sizes,
  }: {
    defaults: C;
    rules: Readonly<Record<Exclude<keyof C, keyof ImageProcessorConfig>, ConfigRule>>;
    sizes: Readonly<Record<string, (side: number) => object>>;
  },
): C & Values {
  checkConfigObject(className, given);
  const own = Object.entries(given).filter(
    ([key, value]) => !CLASS_NAMES.includes(key) && value !== null && value !== undefined,
  );
  const config: Record<string, unknown> = { ...defaults, ...Object.fromEntries(own) };
  for (const [key, sized] of Object.entries(sizes)) {
    const size = config[key];
    config[key] = isSide(size) ? sized(size) : asSides(size);
  }
  for (const key of ["image_mean", "image_std"])
    if (isNumber(config[key])) config[key] = [0, 1, 2].map(() => config[key]);
  for (const [key, rule] of Object.entries<ConfigRule>({ ...NUMBER_RULES, ...rules }))
    if (!rule(config[key])) throw new TypeError(`${className}: config ${key} = ${shown(config[key])} is not supported`);
  return Object.freeze(config) as C & Values;
}

const asSides = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 2 ? { height: value[0] as unknown, width: value[1] as unknown } : value;

/** A square. */
export const square = (side: number): Sides => ({ height: side, width: side });
