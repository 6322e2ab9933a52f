/** Reading the command line. Everything wrong becomes a UsageError that names the option and the value. */
import { parseArgs } from "node:util";
import {
  StableDiffusionDepth2ImgPipeline,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionUpscalePipeline,
} from "../index.js";
import { ENCODED } from "./encoded_pictures.js";
import { refuseOptions, UsageError } from "./errors.js";

/** Options that all drawing commands take. */
export const DRAWING_OPTIONS = ["output", "model", "negative", "guidance", "seed", "steps", "size", "dtype"] as const;

export interface Arguments<Name extends string, Flag extends string = never> {
  values: Partial<Record<Name, string>>;
  flags: Record<Flag, boolean>;
  positionals: string[];
}

/** Splits the arguments of a command. Options of `names` take a value, `flags` none; `-o` is `--output`. */
export function parse<Name extends string, Flag extends string = never>(
  args: string[],
  names: readonly Name[],
  flags: readonly Flag[] = [],
): Arguments<Name, Flag> {
  const options = Object.fromEntries([
    ...names.map((name) => [name, { type: "string" as const, ...(name === "output" && { short: "o" }) }] as const),
    ...flags.map((name) => [name, { type: "boolean" as const }] as const),
  ]);
  try {
    const parsed = parseArgs({ args, options, strict: true, allowPositionals: true });
    const given = parsed.values as Partial<Record<string, string | boolean>>;
    return {
      values: Object.fromEntries(names.map((name) => [name, given[name]])) as Partial<Record<Name, string>>,
      flags: Object.fromEntries(flags.map((name) => [name, given[name] === true])) as Record<Flag, boolean>,
      positionals: parsed.positionals,
    };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith("ERR_PARSE_ARGS")) throw error;
    const known = [...names, ...flags].map((name) => `--${name}`).join(", ");
    const unknown = code === "ERR_PARSE_ARGS_UNKNOWN_OPTION";
    // Node's advice for unknown options is about positionals; which options there are helps more.
    const text = unknown ? `${message.split(". ")[0]}; there are ${known || "none"}` : message.split(" To specify")[0];
    throw new UsageError(text[0].toLowerCase() + text.slice(1));
  }
}

/** The one prompt. */
export function promptOf(positionals: readonly string[]): string {
  if (positionals.length === 0) throw new UsageError("no prompt given");
  if (positionals.length > 1)
    throw new UsageError(
      `one prompt expected, got ${positionals.length}; put it in quotes: "${positionals.join(" ")}"`,
    );
  return positionals[0];
}

/** A whole number of at least 1. */
export function positive(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw new UsageError(`--${option} must be a whole number of at least 1, got "${text}"`);
  return value;
}

/** As many as nobody draws at once; names and prompts of millions would be listed for minutes before memory is found short. */
const MOST_PICTURES = 1000;

/** How many pictures are drawn together. */
export function countOf(text: string | undefined): number {
  const count = text === undefined ? 1 : positive("count", text);
  if (count > MOST_PICTURES)
    throw new UsageError(
      `--count must be at most ${MOST_PICTURES}, got "${text}"; draw further ones in calls of their own, with other seeds`,
    );
  return count;
}

/** What torch takes as a seed. */
export function seedOf(text: string): bigint {
  const value = /^-?\d+$/.test(text) ? BigInt(text) : null;
  if (value === null || value < -(1n << 63n) || value >= 1n << 64n)
    throw new UsageError(`--seed must be a whole number from -2^63 to 2^64-1, got "${text}"`);
  return value;
}

export function guidanceOf(text: string | undefined, otherwise: number | undefined): number | undefined {
  return text === undefined ? otherwise : numberOf("guidance", text);
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new UsageError(`--${option} must be a number, got "${text}"`);
  return value;
}

/** How much of the picture given by --image may change. */
export function strengthOf(text: string | undefined, image: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (image === undefined) throw new UsageError("--strength needs --image FILE, the picture to begin with");
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1))
    throw new UsageError(`--strength must be a number from 0 to 1, got "${text}"`);
  return value;
}

/** How near to the picture given by --image a model stays that edits it. */
export const imageGuidanceOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : numberOf("image-guidance", text);

/** How much the LoRA given by --lora counts. */
export function loraScaleOf(text: string | undefined, lora: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (lora === undefined) throw new UsageError("--lora-scale needs --lora FILE, the weights that it is of");
  return numberOf("lora-scale", text);
}

/** How much noise the picture given by --image gets, or what CLIP sees in it. */
export function noiseLevelOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new UsageError(`--noise-level must be a whole number, got "${text}"`);
  return Number(text);
}

/** What goes with pictures that are made larger. @param className of the model's file */
export function checkUpscaling(
  className: string,
  values: Partial<
    Record<"image" | "mask" | "size" | "strength" | "controlnet" | "adapter" | "count" | "noise-level", string>
  >,
): void {
  const isFourfold = className === StableDiffusionUpscalePipeline.className;
  if (!isFourfold && className !== StableDiffusionLatentUpscalePipeline.className) {
    if (values["noise-level"] === undefined || ENCODED.has(className)) return;
    throw new UsageError("--noise-level is for models that make pictures larger, and for unCLIP's");
  }
  if (values.image === undefined)
    throw new UsageError(`a ${className} makes pictures larger: --image FILE says which one`);
  const own = isFourfold ? [] : (["count", "noise-level"] as const);
  refuseOptions(className, values, ["mask", "size", "strength", "controlnet", "adapter", ...own]);
}

/** What goes with models that see the depth of a picture. @param className of the model's file */
export function checkDepth(
  className: string,
  values: Partial<Record<"image" | "mask" | "controlnet" | "adapter", string>>,
): void {
  if (className !== StableDiffusionDepth2ImgPipeline.className) return;
  if (values.image === undefined)
    throw new UsageError(`a ${className} draws by the depth of a picture: --image FILE says of which one`);
  refuseOptions(className, values, ["mask", "controlnet", "adapter"]);
}

/** What goes with pictures. */
export function checkPictures({
  image,
  mask,
  size,
  strength,
  controlnet,
  adapter,
  "control-image": controlImage,
}: Partial<Record<"image" | "mask" | "size" | "strength" | "controlnet" | "adapter" | "control-image", string>>): void {
  if (mask !== undefined && image === undefined)
    throw new UsageError("--mask needs --image FILE, the picture to draw into");
  if (controlImage !== undefined && controlnet === undefined && adapter === undefined)
    throw new UsageError("--control-image needs --controlnet DIR, the ControlNet that reads it, or --adapter DIR");
  if (adapter !== undefined) {
    if ((image === undefined) === (controlImage === undefined))
      throw new UsageError(
        "--adapter needs --control-image FILE, the picture that it reads (or --image FILE), and no other",
      );
    for (const [name, value] of Object.entries({ controlnet, mask, strength }))
      if (value !== undefined)
        throw new UsageError(`--${name} does not go with --adapter, whose pipelines draw from noise`);
  } else if (controlnet !== undefined) {
    if (image === undefined && controlImage === undefined)
      throw new UsageError("--controlnet needs --image FILE, the picture that it reads");
    for (const [name, value] of Object.entries({ mask, strength }))
      if (value !== undefined && controlImage === undefined)
        throw new UsageError(
          `--${name} does not go with --controlnet and --image alone, which draw from noise; give what it reads as ` +
            "--control-image FILE, and --image is what the drawing begins with",
        );
  } else if (image !== undefined && mask === undefined && size !== undefined)
    throw new UsageError("--size does not go with --image: the result has the picture's size");
}

/** Whether models of this class edit pictures, and nothing else. @throws UsageError where the options do not go with that */
export function checkEdits(
  className: string,
  values: Partial<Record<"image" | "mask" | "strength" | "controlnet" | "adapter" | "image-guidance", string>>,
): boolean {
  const edits = className.endsWith("InstructPix2PixPipeline");
  if (!edits && values["image-guidance"] !== undefined)
    throw new UsageError("--image-guidance needs a model that edits pictures, of an InstructPix2Pix pipeline");
  if (!edits) return false;
  if (values.image === undefined) throw new UsageError("this model edits pictures: --image FILE is the one to edit");
  for (const name of ["mask", "strength", "controlnet", "adapter"] as const)
    if (values[name] !== undefined) throw new UsageError(`--${name} does not go with this model, which edits pictures`);
  return true;
}

/** Pixels; nothing where no size was given. */
export function sizeOf(text: string | undefined): { width?: number; height?: number } {
  if (text === undefined) return {};
  const [, width, height] = /^(\d+)x(\d+)$/i.exec(text)?.map(Number) ?? [];
  if (width === undefined || height === undefined)
    throw new UsageError(`--size must be WIDTHxHEIGHT in pixels, e.g. 512x512, got "${text}"`);
  if (![width, height].every((pixels) => pixels > 0 && pixels % 8 === 0 && Number.isSafeInteger(pixels)))
    throw new UsageError(`--size must be made of multiples of 8, got "${text}"`);
  return { width, height };
}

export function dtypeOf(text = "float32"): "float32" | "float16" {
  if (text === "float32" || text === "float16") return text;
  throw new UsageError(`--dtype must be float32 or float16, got "${text}"`);
}
