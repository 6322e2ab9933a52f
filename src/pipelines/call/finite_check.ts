/** Looks for numbers that are infinite or NaN on their way to a picture, which would paint them black. */
import type { Device } from "../../tensor/device.js";
import { NumericalError } from "../../tensor/errors.js";
import { markNonFinite } from "../../tensor/ops/non_finite.js";
import { Tensor } from "../../tensor/tensor.js";

/** Whose numbers they are. */
export interface Place {
  module: "text_encoder" | "image_encoder" | "prior" | "latents" | "adapter" | "unet" | "scheduler" | "vae";
  /** From 0 on; absent before and after the loop. */
  step?: number;
}

/** Each look costs a small dispatch and no wait: what was found is read once, at the end. */
export class FiniteCheck {
  readonly #flags: Tensor;
  readonly #places: Place[] = [];

  /** @param most looks that there will be at most */
  constructor(device: Device, most: number) {
    this.#flags = device.keep(Tensor.from(new Int32Array(most), [most], { device, dtype: "int32" }));
  }

  look(x: Tensor, place: Place): void {
    markNonFinite(x, this.#flags, this.#places.push(place) - 1);
  }

  /** Waits for all looks. @throws NumericalError for the first that found something */
  async expectFinite(): Promise<void> {
    const found = (await this.#flags.data()).indexOf(1);
    if (found >= 0) throw new NumericalError(this.#places[found]);
  }

  dispose(): void {
    this.#flags.dispose();
  }
}
