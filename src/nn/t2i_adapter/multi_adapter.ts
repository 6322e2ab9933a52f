/** Several T2I-Adapters as one component, diffusers/models/adapter.py. */
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkModels, ModelList } from "../weights/model_list.js";
import { T2IAdapter } from "./t2i_adapter.js";

/**
 * Several T2I-Adapters, whose features are added up by weights; `adapters` are what it is made of. A StableDiffusionAdapterPipeline makes
 * one of a list, and loads and saves it: each adapter in a folder of its own.
 */
export class MultiAdapter extends ModelList<T2IAdapter> {
  static readonly className = "MultiAdapter";
  static readonly defaults = {};
  readonly adapters: readonly T2IAdapter[];

  /** @throws TypeError for anything but a list of T2IAdapters, two at least, RangeError where they make pictures smaller by different factors */
  constructor(adapters: readonly T2IAdapter[]) {
    super(MultiAdapter.className);
    checkModels(MultiAdapter.className, adapters, T2IAdapter);
    const [first, ...others] = adapters;
    if (others.length === 0)
      throw new TypeError("For a single adapter, please use the `T2IAdapter` class instead of `MultiAdapter`");
    for (const name of ["totalDownscaleFactor", "downscaleFactor"] as const) {
      const factors = adapters.map((adapter) => adapter[name]);
      if (factors.some((factor) => factor !== first[name]))
        throw new RangeError(
          `Expecting all adapters to have the same downscaling behavior, but got: ${name} = ${factors.join(", ")}`,
        );
    }
    this.adapters = [...adapters];
  }

  override get models(): readonly T2IAdapter[] {
    return this.adapters;
  }

  protected override get component(): string {
    return "adapter";
  }

  get downscaleFactor(): number {
    return this.adapters[0].downscaleFactor;
  }

  get totalDownscaleFactor(): number {
    return this.adapters[0].totalDownscaleFactor;
  }

  /**
   * The features of all adapters, added up.
   * @param xs for each adapter its pictures, as T2IAdapter.forward() takes them
   * @param weights for each adapter what its features are multiplied by; null: the same part of 1 for each
   * @returns for each level [batch, channels, height, width]; the caller disposes them
   * @throws RangeError unless there are as many pictures and weights as adapters
   */
  forward(xs: readonly Tensor[], weights: readonly number[] | null = null): Tensor[] {
    const { length: count } = this.adapters;
    const each = weights ?? new Array<number>(count).fill(1 / count);
    if (xs.length !== count || each.length !== count)
      throw new RangeError(
        `MultiAdapter: takes pictures and a weight for each of ${count} adapters, got ${xs.length} and ${each.length}`,
      );
    return xs[0].device.scope(() =>
      weightedSum(
        this.adapters.map((adapter, i) => adapter.forward(xs[i])),
        each,
      ),
    );
  }
}

/** The features of several adapters, of the same shapes, times their weights, added up. */
export function weightedSum(all: readonly (readonly Tensor[])[], weights: readonly number[]): Tensor[] {
  const [first, ...others] = all.map((features, i) => [features, weights[i]] as const);
  return first[0].map((feature, level) =>
    feature.device.scope(() =>
      others.reduce(
        (sum, [features, weight]) =>
          linearCombination([
            [1, sum],
            [weight, features[level]],
          ]),
        linearCombination([[first[1], feature]]),
      ),
    ),
  );
}
