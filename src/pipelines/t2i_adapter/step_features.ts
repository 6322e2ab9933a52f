/** What a T2I-Adapter says of its picture, in the steps of a call. */
import type { Tensor } from "../../tensor/tensor.js";
import { PROMPT_GUIDANCE, promptRows } from "../call/guidance.js";

export class StepFeatures {
  #features: readonly Tensor[];

  /**
   * @param features for each level [rows, height, width, channels], with guidance two rows for each picture that is drawn; disposed by
   *   dispose()
   * @param steps the first ones, in which they count
   */
  constructor(
    features: readonly Tensor[],
    private readonly steps: number,
  ) {
    this.#features = features;
  }

  /** Made of all others: where one of them is not finite, this is not. */
  get last(): Tensor {
    return this.#features[this.#features.length - 1];
  }

  /** @param rows of the UNet's batch in step `i`: a callback may have ended the guidance */
  ofStep(i: number, rows: number): readonly Tensor[] {
    if (i >= this.steps) return [];
    this.#take(this.#features.map((feature) => promptRows(PROMPT_GUIDANCE.branches, feature, rows)));
    return this.#features;
  }

  dispose(): void {
    this.#take([]);
  }

  #take(features: readonly Tensor[]): void {
    for (const old of this.#features) if (!features.includes(old)) old.dispose();
    this.#features = features;
  }
}
