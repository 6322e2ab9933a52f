/** Models that draw by what CLIP sees in a picture, or guesses of one: what goes with them on the command line. */
import {
  StableDiffusionImageVariationPipeline,
  StableUnCLIPImg2ImgPipeline,
  StableUnCLIPPipeline,
  type AutoOutput,
  type ImageVariationOptions,
  type RawImage,
  type UnCLIPOptions,
} from "../index.js";
import { UNCLIP_DEFAULTS } from "../pipelines/unclip/unclip_options.js";
import { refuseOptions, UsageError } from "./errors.js";

export type EncodedPipeline =
  StableDiffusionImageVariationPipeline | StableUnCLIPImg2ImgPipeline | StableUnCLIPPipeline;
export type EncodedClass =
  typeof StableDiffusionImageVariationPipeline | typeof StableUnCLIPImg2ImgPipeline | typeof StableUnCLIPPipeline;

/** By the class of model_index.json. */
export const ENCODED = new Map<unknown, EncodedClass>([
  [StableDiffusionImageVariationPipeline.className, StableDiffusionImageVariationPipeline],
  [StableUnCLIPImg2ImgPipeline.className, StableUnCLIPImg2ImgPipeline],
  [StableUnCLIPPipeline.className, StableUnCLIPPipeline],
]);

export const isEncoded = (pipeline: unknown): pipeline is EncodedPipeline =>
  [...ENCODED.values()].some((Class) => pipeline instanceof Class);

/** Steps where none are asked for. */
export const encodedSteps = (pipeline: EncodedPipeline): number =>
  pipeline instanceof StableDiffusionImageVariationPipeline ? 50 : UNCLIP_DEFAULTS.numInferenceSteps;

/** @param prompt null where none was given @throws UsageError where the options do not go with models of this class */
export function checkEncoded(
  className: string,
  prompt: string | null,
  values: Partial<
    Record<"image" | "mask" | "strength" | "controlnet" | "adapter" | "negative" | "noise-level", string>
  >,
): void {
  const isVariation = className === StableDiffusionImageVariationPipeline.className;
  const readsPrompt = className === StableUnCLIPPipeline.className;
  if (prompt === null && !isVariation && className !== StableUnCLIPImg2ImgPipeline.className)
    throw new UsageError("no prompt given");
  if (!ENCODED.has(className)) return;
  if (!readsPrompt && values.image === undefined)
    throw new UsageError(`a ${className} draws pictures like a picture: --image FILE says which one`);
  if (isVariation && prompt !== null) throw new UsageError(`a ${className} takes no prompt`);
  const strange = [
    ...(isVariation ? (["negative", "noise-level"] as const) : []),
    ...(readsPrompt ? ["image" as const] : []),
  ];
  refuseOptions(className, values, [...strange, "mask", "strength", "controlnet", "adapter"]);
}

/** Draws with options that checkEncoded() has seen. */
export function drawEncoded(
  pipeline: EncodedPipeline,
  { prompt, image, size }: { prompt: string | null; image: RawImage | null; size: { width?: number; height?: number } },
  {
    negativePrompt,
    noiseLevel,
    ...options
  }: ImageVariationOptions & Pick<UnCLIPOptions, "negativePrompt" | "noiseLevel">,
): Promise<AutoOutput> {
  if (pipeline instanceof StableDiffusionImageVariationPipeline) return pipeline(image!, options);
  const told = { ...options, negativePrompt, noiseLevel };
  if (pipeline instanceof StableUnCLIPPipeline) return pipeline(prompt, { ...told, ...size });
  return pipeline(image, { ...told, prompt });
}
