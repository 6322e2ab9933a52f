/** What constructors patch in configs of 2022, and the picture size that a config asks for. */
import { keepNumberTypes } from "../../loader/number_types.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import type { Scheduler } from "../../schedulers/index.js";

/** Values that a scheduler's config of 2022 may have otherwise; which of them is set right depends on the pipeline. */
const RIGHT = { clip_sample: false, skip_prk_steps: true };
export type PatchedKey = keyof typeof RIGHT;

/** Replaces outdated config values, with a warning as diffusers gives it. Only at construction, not for later swaps. */
export function patchLegacyConfigs(
  { scheduler, unet }: { scheduler: Scheduler | null; unet: UNet2DConditionModel | null },
  key: PatchedKey,
): void {
  if (scheduler) patchScheduler(scheduler, key);
  if (unet) patchSampleSize(unet);
}

function patchScheduler(scheduler: Scheduler, key: PatchedKey): void {
  const { steps_offset: offset = 1 } = scheduler.config;
  if (offset !== 1) {
    console.warn(
      `The configuration file of this scheduler (${scheduler.className}) is outdated. \`steps_offset\` should be set to 1 instead of ${String(offset)}.`,
    );
    patch(scheduler, { steps_offset: 1 });
  }
  const right = RIGHT[key];
  if (scheduler.config[key] === !right) {
    console.warn(
      `The configuration file of this scheduler (${scheduler.className}) has not set \`${key}\`. It should be set to ${right ? "True" : "False"}.`,
    );
    patch(scheduler, { [key]: right });
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

/** What the latents of the x4 upscaler's VAE are multiplied by, which its first configs left out. */
const UPSCALER_FACTOR = 0.08333;

/** What StableDiffusionUpscalePipeline's constructor patches, with its warning. */
export function patchScalingFactor(vae: AutoencoderKL | AutoencoderTiny): void {
  const { scaling_factor: factor } = vae.config;
  if (factor === UPSCALER_FACTOR) return;
  console.warn(
    "The configuration file of the vae does not contain `scaling_factor` or it is set to " +
      `${factor}, which seems highly unlikely. If your checkpoint is a fine-tuned version of ` +
      `\`stabilityai/stable-diffusion-x4-upscaler\` you should change 'scaling_factor' to ${UPSCALER_FACTOR}, which is used.`,
  );
  patch(vae, { scaling_factor: UPSCALER_FACTOR });
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
