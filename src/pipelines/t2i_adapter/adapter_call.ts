/** What a call with T2I-Adapters is given, checked, and what it makes of it. */
import { shown } from "../../arguments/shown.js";
import { MultiAdapter, weightedSum } from "../../nn/t2i_adapter/multi_adapter.js";
import { Tensor } from "../../tensor/tensor.js";
import type { OptionTable } from "../call/call_options.js";
import { checkFinite, promptCount, type CallOptions } from "../call/check_inputs.js";
import { afterEncoding, repeatedTo } from "../call/encode_image.js";
import { needComponent } from "../loading/needed_components.js";
import type { Beginning, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { ADAPTER_KINDS, type Adapters } from "./adapter_component.js";
import {
  adapterTensor,
  checkAdapterImages,
  countOf,
  sizeOfFirst,
  type AdapterImage,
  type AdapterImages,
} from "./adapter_images.js";
import { StepFeatures } from "./step_features.js";

/** What calls with T2I-Adapters take besides. */
export interface AdapterSources {
  /**
   * What the adapter reads (a sketch, depth, a pose): one picture, or one for each prompt; of several adapters a list with an entry for each
   * of them. Pictures get the size that is drawn, Tensors must have it, and are not disposed.
   */
  image: AdapterImage | readonly (AdapterImage | readonly AdapterImage[])[];
  /** How strongly the picture steers; of several adapters one number or a list. Default 1. */
  adapterConditioningScale?: number | readonly number[];
  /** Pixels, multiples of 8 and of the adapter's downscaleFactor; by default those of the (first) picture, cut down to these. */
  height?: number | null;
  width?: number | null;
}

export const ADAPTER_SOURCES: OptionTable<Omit<Required<AdapterSources>, "height" | "width">> = {
  image: false,
  adapterConditioningScale: false,
};

export interface AdapterCall {
  /** Pixels that are drawn. */
  height: number;
  width: number;
  /**
   * What a run begins with: the latents, and the features of the pictures, by adapters that are on the GPU.
   * @param batch pictures that are drawn
   * @param steps the first ones, in which features count; by default all
   */
  begin: (latents: Tensor, how: { batch: number; steps?: number }) => Promise<Beginning>;
}

/** @throws RangeError, TypeError for wrong arguments, and for adapters that are missing or of another UNet */
export function adapterCall(
  pipeline: LatentDiffusion & { adapter: Adapters },
  prompt: Prompt,
  options: CallOptions & Partial<Record<"image" | "adapterConditioningScale", unknown>>,
): AdapterCall {
  const { className, device, unet, adapter, vaeScaleFactor } = pipeline;
  needComponent(className, "adapter", adapter, { classes: ADAPTER_KINDS, purpose: "to read the guiding picture" });
  const isList = adapter instanceof MultiAdapter;
  const models = isList ? adapter.adapters : [adapter];
  const scales = scalesOf(options.adapterConditioningScale ?? 1, models.length, isList);
  const given = isList ? imagesOf(options.image, models.length) : [options.image];
  const images = models.map(({ config }, i) => checkAdapterImages(given[i], config.in_channels, device));
  expectOnePerPrompt(images, promptCount(prompt, options));
  const { downscaleFactor: factor } = adapter;
  const size = drawnSize(options, sizeOfFirst(images[0]), factor);
  expectSize(images, size);
  const { height, width } = size;
  const latents = [height, width].map((side) => Math.floor(side / vaeScaleFactor)) as [number, number];
  for (const model of models) {
    const wrong = unet.featuresMisfit(latents, model.shapesOf([height, width]));
    if (wrong)
      throw new RangeError(
        `${className}: the adapter does not go with the UNet at ${width}x${height} pixels: of its features ${wrong}`,
      );
  }
  return {
    ...size,
    begin: async (latents, { batch, steps = Infinity }) => {
      const rows = (pipeline.doClassifierFreeGuidance ? 2 : 1) * batch;
      const most = Math.max(...images.map(countOf));
      const read = (): Tensor[] => {
        const each = models.map((model, i) =>
          model.features(adapterTensor(device, images[i], size)).map((x) => repeatedTo(most, x)),
        );
        // As in diffusers the whole list again and again: with several prompts, and several pictures for each, some follow that of another.
        return weightedSum(each, scales).map((x) => repeatedTo(rows, x));
      };
      let features: Tensor[] = [];
      try {
        features = device.scope(read);
        await afterEncoding(device, []);
      } catch (error) {
        for (const tensor of [latents, ...features]) tensor.dispose();
        throw error;
      }
      return { latents, features: new StepFeatures(features, steps) };
    },
  };
}

function scalesOf(value: unknown, count: number, isList: boolean): number[] {
  if (!isList && Array.isArray(value))
    throw new TypeError(`\`adapterConditioningScale\` must be a number for a single adapter, got ${shown(value)}`);
  const list: unknown[] = Array.isArray(value) ? value : new Array<unknown>(count).fill(value);
  if (list.length !== count)
    throw new RangeError(
      `\`adapterConditioningScale\` must be a number, or one for each of ${count} adapters, got ${shown(value)}`,
    );
  for (const each of list) checkFinite("adapterConditioningScale", each);
  return list as number[];
}

function imagesOf(image: unknown, count: number): unknown[] {
  if (!Array.isArray(image))
    throw new TypeError(
      "MultiAdapter is enabled, but `image` is not a list. Please pass a list of images to `image`, got " +
        (image instanceof Tensor ? String(image) : shown(image)),
    );
  if (image.length !== count)
    throw new RangeError(
      `MultiAdapter requires passing the same number of images as adapters. Given ${image.length} images and ${count} adapters.`,
    );
  return image as unknown[];
}

function expectOnePerPrompt(images: readonly AdapterImages[], prompts: number): void {
  for (const count of images.map(countOf))
    if (count !== 1 && count !== prompts)
      throw new RangeError(
        `\`image\` must be one picture, or one for each prompt, got ${count} for ${prompts} ${prompts === 1 ? "prompt" : "prompts"}`,
      );
}

/** Sides that were given, and those of the picture, cut down to multiples of the adapter's factor. */
function drawnSize(
  given: Pick<CallOptions, "height" | "width">,
  picture: { height: number; width: number },
  factor: number,
): { height: number; width: number } {
  const side = (name: "height" | "width"): number => given[name] ?? picture[name] - (picture[name] % factor);
  const size = { height: side("height"), width: side("width") };
  for (const name of ["height", "width"] as const) {
    const value: unknown = size[name];
    if (value === 0)
      throw new RangeError(
        `\`image\` is too small: ${picture.width}x${picture.height} pixels, where the adapter makes one of ${factor}x${factor}`,
      );
    if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) % factor !== 0)
      throw new RangeError(
        `\`${name}\` must be a multiple of ${factor}, the adapter's downscale_factor, got ${shown(value)}`,
      );
  }
  return size;
}

/** Tensors are taken as they are, as in diffusers. */
function expectSize(images: readonly AdapterImages[], { height, width }: { height: number; width: number }): void {
  for (const { pictures } of images)
    for (const each of pictures)
      if (each instanceof Tensor && each.shape.slice(-2).join() !== `${height},${width}`)
        throw new RangeError(
          `\`image\`: a Tensor must have the ${height} x ${width} pixels that are drawn, got ${String(each)}; give \`height\` and \`width\` of it`,
        );
}
