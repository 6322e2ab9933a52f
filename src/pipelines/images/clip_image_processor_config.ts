/** The content of preprocessor_config.json of CLIP's image processors, in transformers' form of today and in that of 2022. */
import { checkConfigObject } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";

/** Pixels. */
interface Sides {
  readonly height: number;
  readonly width: number;
}

/** What is done to pictures, in this order: resize, center crop, rescale, normalize. */
export interface CLIPImageProcessorConfig {
  /** Whether grey becomes RGB, and what is transparent white. */
  readonly do_convert_rgb: boolean;
  readonly do_resize: boolean;
  /** With a shortest edge pictures keep their proportions. */
  readonly size: Sides | { readonly shortest_edge: number };
  /** Pillow's number of a filter: 1, Lanczos', or 3, bicubic. */
  readonly resample: number;
  /** Pictures that are smaller get a black border. */
  readonly do_center_crop: boolean;
  readonly crop_size: Sides;
  readonly do_rescale: boolean;
  readonly rescale_factor: number;
  readonly do_normalize: boolean;
  /** Of red, green and blue. */
  readonly image_mean: readonly number[];
  readonly image_std: readonly number[];
}

export const DEFAULTS: CLIPImageProcessorConfig = {
  do_convert_rgb: true,
  do_resize: true,
  size: { shortest_edge: 224 },
  resample: 3,
  do_center_crop: true,
  crop_size: { height: 224, width: 224 },
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

type Values = Readonly<Record<string, unknown>>;

/** Names that files have for the class, which is written by its own. */
const CLASS_NAMES = ["feature_extractor_type", "image_processor_type", "processor_class"];

/** Models take a few hundred pixels; more would fill memory. */
const MAX_SIDE = 8192;
const isSide = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= MAX_SIDE;
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isBoolean = (value: unknown): boolean => typeof value === "boolean";

const isSides = (value: unknown): boolean => hasSides(value, ["height", "width"]);
const hasSides = (value: unknown, names: readonly string[]): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).sort().join() === names.join() &&
  Object.values(value).every(isSide);

const RULES: Readonly<Record<keyof CLIPImageProcessorConfig, (value: unknown) => boolean>> = {
  do_convert_rgb: isBoolean,
  do_resize: isBoolean,
  size: (value) => isSides(value) || hasSides(value, ["shortest_edge"]),
  resample: (value) => value === 1 || value === 3,
  do_center_crop: isBoolean,
  crop_size: isSides,
  do_rescale: isBoolean,
  rescale_factor: isNumber,
  do_normalize: isBoolean,
  image_mean: (value) => Array.isArray(value) && value.length === 3 && value.every(isNumber),
  image_std: (value) => Array.isArray(value) && value.length === 3 && value.every((n) => isNumber(n) && n !== 0),
};

/**
 * A config in full. Keys that nobody here reads are kept, but for names of the class.
 * @throws TypeError naming a key whose value nothing here computes
 */
export function processorConfig(className: string, given: Values): CLIPImageProcessorConfig & Values {
  checkConfigObject(className, given);
  const own = Object.entries(given).filter(
    ([key, value]) => !CLASS_NAMES.includes(key) && value !== null && value !== undefined,
  );
  const config: Record<string, unknown> = { ...DEFAULTS, ...Object.fromEntries(own) };
  config.size = isSide(config.size) ? { shortest_edge: config.size } : asSides(config.size);
  config.crop_size = isSide(config.crop_size)
    ? { height: config.crop_size, width: config.crop_size }
    : asSides(config.crop_size);
  for (const key of ["image_mean", "image_std"])
    if (isNumber(config[key])) config[key] = [0, 1, 2].map(() => config[key]);
  for (const [key, rule] of Object.entries(RULES))
    if (!rule(config[key])) throw new TypeError(`${className}: config ${key} = ${shown(config[key])} is not supported`);
  return Object.freeze(config) as CLIPImageProcessorConfig & Values;
}

const asSides = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 2 ? { height: value[0] as unknown, width: value[1] as unknown } : value;
