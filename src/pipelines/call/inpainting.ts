/** What inpainting does in each step of the loop, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_inpaint.py. */
import { maskedMix } from "../../tensor/ops/masked_mix.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { CallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";
import { replace, type Returned } from "./callback_tensors.js";
import { PROMPT_GUIDANCE, promptRows } from "./guidance.js";
import type { AddNoise } from "./image_latents.js";
import type { InputChannels } from "./input_channels.js";

/** All [rows, channels, height, width] of latents, float32; disposed by dispose(). */
export interface InpaintTensors {
  /** 1 where something new is drawn; with guidance twice the batch, as the UNet takes it. */
  mask: Tensor;
  /** Latents of the picture without what is drawn anew, as many rows as the mask: for a UNet of 9 channels, which sees them. */
  maskedImageLatents: Tensor | null;
  /** Of the picture, and the noise that it began with: for a UNet of 4 channels, which knows of no mask. */
  original: { latents: Tensor; noise: Tensor } | null;
}

export class Inpainting implements InputChannels {
  readonly #tensors: InpaintTensors;
  readonly #addNoise: AddNoise | null;

  /** @param addNoise needed with an original */
  constructor(tensors: InpaintTensors, addNoise: AddNoise | null) {
    this.#tensors = tensors;
    this.#addNoise = addNoise;
  }

  /** What a UNet of 9 channels takes: the latents, the mask, the latents of the masked picture. */
  input(x: Tensor): Tensor {
    const { mask, maskedImageLatents } = this.#tensors;
    if (!maskedImageLatents) return x;
    const rows = x.shape[0];
    return concat(concat(x, rowsOf(mask, rows), 1), rowsOf(maskedImageLatents, rows), 1);
  }

  /**
   * With a UNet of 4 channels: the latents of a step, laid over those of the original at the next one's noise.
   * @param next timestep, none after the last step
   */
  keep(latents: Tensor, next: number | undefined): Tensor {
    const { mask, original } = this.#tensors;
    if (!original) return latents;
    const { latents: clean, noise } = original;
    const kept = next === undefined ? clean : this.#addNoise!(clean, noise, next);
    return maskedMix(kept, latents, rowsOf(mask, latents.shape[0]));
  }

  /** For a callback. */
  get callbackTensors(): Pick<CallbackTensors, "mask" | "masked_image_latents"> {
    const { mask, maskedImageLatents } = this.#tensors;
    return { mask, masked_image_latents: maskedImageLatents };
  }

  /** Takes what a callback returned. */
  replace({ mask, masked_image_latents: next }: Returned): void {
    const tensors = this.#tensors;
    tensors.mask = replace(tensors.mask, mask);
    if (tensors.maskedImageLatents) tensors.maskedImageLatents = replace(tensors.maskedImageLatents, next);
  }

  dispose(): void {
    const { mask, maskedImageLatents, original } = this.#tensors;
    for (const tensor of [mask, maskedImageLatents, original?.latents, original?.noise]) tensor?.dispose();
  }
}

const rowsOf = (x: Tensor, rows: number): Tensor => promptRows(PROMPT_GUIDANCE.branches, x, rows);
