/** What FlaxStableDiffusionPipeline computes with, apart from itself: weights and the scheduler's state, on one device or on many. */
import type { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import type { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { FlaxDiffusionState } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import { devices as allDevices } from "../../tensor/devices.js";

interface Models {
  text_encoder: CLIPTextModel;
  unet: UNet2DConditionModel;
  vae: AutoencoderKL;
  safety_checker?: StableDiffusionSafetyChecker | null;
}

/** The weights of one device. */
export class FlaxParams implements Models {
  readonly text_encoder: CLIPTextModel;
  readonly unet: UNet2DConditionModel;
  readonly vae: AutoencoderKL;
  /** null for none. */
  safety_checker: StableDiffusionSafetyChecker | null;
  /** Of the pipeline's scheduler. Where one was given to fromPretrained, its state is to be put here. */
  declare scheduler?: FlaxDiffusionState;

  constructor({ text_encoder, unet, vae, safety_checker = null }: Models, scheduler?: FlaxDiffusionState) {
    this.text_encoder = text_encoder;
    this.unet = unet;
    this.vae = vae;
    this.safety_checker = safety_checker;
    // As in Python, where none is known, the name is not there.
    if (scheduler) this.scheduler = scheduler;
  }

  /** The device that has them. */
  get device(): Device {
    if (this.unet.device) return this.unet.device;
    throw new Error("params: the UNet has no weights, load the pipeline with fromPretrained()");
  }

  /** The same weights on other devices, read from this one once. */
  async copyTo(devices: readonly Device[]): Promise<FlaxParams[]> {
    const made: { dispose(): void }[] = [];
    try {
      const copy = async <M extends { copyTo(to: readonly Device[]): Promise<M[]>; dispose(): void }>(
        model: M,
      ): Promise<M[]> => {
        const copies = await model.copyTo(devices);
        made.push(...copies);
        return copies;
      };
      const text_encoder = await copy(this.text_encoder);
      const unet = await copy(this.unet);
      const vae = await copy(this.vae);
      const checkers = this.safety_checker && (await copy(this.safety_checker));
      return devices.map((_, i) => {
        const models = { text_encoder: text_encoder[i], unet: unet[i], vae: vae[i], safety_checker: checkers?.[i] };
        return new FlaxParams(models, this.scheduler);
      });
    } catch (error) {
      for (const model of made) model.dispose();
      throw error;
    }
  }

  /** Frees the weights. */
  dispose(): void {
    for (const model of [this.text_encoder, this.unet, this.vae, this.safety_checker]) model?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The weights of several devices, as `replicate` gives them. */
export class ReplicatedParams {
  /** As FlaxParams.scheduler: every device begins with it. */
  declare scheduler?: FlaxDiffusionState;

  /** @param original the one of `replicas` that the caller had before, if it is among them */
  constructor(
    readonly replicas: readonly FlaxParams[],
    private readonly original: FlaxParams,
  ) {
    if (original.scheduler) this.scheduler = original.scheduler;
  }

  /** The devices, in the order of the shards. */
  get devices(): Device[] {
    return this.replicas.map(({ device }) => device);
  }

  /** Frees the copies, but not the params that they were made of. */
  dispose(): void {
    for (const replica of this.replicas) if (replica !== this.original) replica.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Copies weights to several devices: flax.jax_utils.replicate. They were read from their files once and are uploaded from the
 * device that has them; on that device itself they are used as they are.
 * @param devices by default all that `devices()` gives
 * @throws what a device says of too little memory; nothing stays allocated
 */
export async function replicate(params: FlaxParams, devices?: readonly Device[]): Promise<ReplicatedParams> {
  if (!(params instanceof FlaxParams))
    throw new TypeError("replicate: takes the params of FlaxStableDiffusionPipeline.fromPretrained()");
  const targets = devices ?? (await allDevices());
  if (targets.length === 0 || new Set(targets).size !== targets.length)
    throw new RangeError(`replicate: takes different devices, at least one, got ${targets.length}`);
  const others = targets.filter((device) => device !== params.device);
  const copies = await params.copyTo(others);
  const replicas = targets.map((device) => copies.find((copy) => copy.device === device) ?? params);
  return new ReplicatedParams(replicas, params);
}
