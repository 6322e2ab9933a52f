/** What StableDiffusionPipeline's constructor patches in configs of 2022, and the picture size that a config asks for. */
import { keepNumberTypes } from "../loader/number_types.js";
import type { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import type { Scheduler } from "../schedulers/index.js";
import type { Components } from "./diffusion_pipeline.js";

/**
 * Says that there is no safety checker where one is required and `null` was given for it.
 * @throws TypeError for any other safety checker: this version has none
 */
export function checkSafety(
  className: string,
  { safety_checker, feature_extractor, requires_safety_checker = true }: Components,
): void {
  if (safety_checker === null && requires_safety_checker)
    console.warn(
      `You have disabled the safety checker for ${className} by passing \`safety_checker: null\`. Ensure` +
        " that you abide to the conditions of the Stable Diffusion license and do not expose unfiltered results in" +
        " services or applications open to the public. Both the diffusers team and Hugging Face strongly recommend to" +
        " keep the safety filter enabled in all public facing circumstances, disabling it only for use-cases that" +
        " involve analyzing network behavior or auditing its results. For more information, please have a look at" +
        " https://github.com/huggingface/diffusers/pull/254 .",
    );
  if (safety_checker === null || safety_checker === undefined) return;
  if (feature_extractor === null || feature_extractor === undefined)
    throw new TypeError(
      "Make sure to define a feature extractor when loading StableDiffusionPipeline if you want to use the safety" +
        " checker. If you do not want to use the safety checker, you can pass `safety_checker: null` instead.",
    );
  refuseSafetyChecker(className);
}

export function refuseSafetyChecker(className: string): never {
  throw new TypeError(
    `${className}: a safety checker was given, but this version runs none; pass \`safety_checker: null\``,
  );
}

/** Replaces outdated config values, with a warning as diffusers gives it. Only at construction, not for later swaps. */
export function patchLegacyConfigs(scheduler: Scheduler | null, unet: UNet2DConditionModel | null): void {
  if (scheduler) patchScheduler(scheduler);
  if (unet) patchSampleSize(unet);
}

function patchScheduler(scheduler: Scheduler): void {
  const { steps_offset: offset = 1, clip_sample: clip } = scheduler.config;
  if (offset !== 1) {
    console.warn(
      `The configuration file of this scheduler (${scheduler.className}) is outdated. \`steps_offset\` should be set to 1 instead of ${String(offset)}.`,
    );
    patch(scheduler, { steps_offset: 1 });
  }
  if (clip === true) {
    console.warn(
      `The configuration file of this scheduler (${scheduler.className}) has not set \`clip_sample\`. It should be set to False.`,
    );
    patch(scheduler, { clip_sample: false });
  }
}

/** The picture size of UNet configs that diffusers before 0.9 wrote. */
export function patchSampleSize(unet: UNet2DConditionModel): void {
  const { sample_size: size, _diffusers_version: version } = unet.config as {
    sample_size: unknown;
    _diffusers_version?: unknown;
  };
  if (typeof size === "number" && size < 64 && typeof version === "string" && isBefore(version, [0, 9])) {
    console.warn(
      "The configuration file of the unet has set the default `sample_size` to smaller than 64, which seems highly unlikely; 64 is used.",
    );
    patch(unet, { sample_size: 64 });
  }
}

function patch(owner: { config: object }, values: object): void {
  Object.defineProperty(owner, "config", {
    value: keepNumberTypes(Object.freeze({ ...owner.config, ...values }), owner.config),
    enumerable: true,
    configurable: true,
  });
}

function isBefore(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a, b] = version.split(".").map((part) => Number.parseInt(part, 10));
  return a < major || (a === major && b < minor);
}

/** Latent height and width that the UNet was trained for. */
export function unetSampleSize(unet: UNet2DConditionModel): [height: number, width: number] {
  const { sample_size: size } = unet.config;
  if (Array.isArray(size)) return [size[0], size[1]];
  return [size ?? 64, size ?? 64];
}
