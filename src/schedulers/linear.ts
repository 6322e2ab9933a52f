import { MAX_TERMS } from "../../kernels/elementwise.wgsl.js";
import type { Tensor } from "../tensor/tensor.js";
import { linearCombination } from "../tensor/ops/elementwise.js";

/**
 * A weighted sum of tensors that is not computed yet. Schedulers write their formulas with it: coefficients merge in double
 * precision on the CPU, and `toTensor` runs one dispatch however long the derivation was.
 */
export class Linear {
  private constructor(private readonly terms: ReadonlyMap<Tensor, number>) {}

  static of(x: Tensor, coefficient = 1): Linear {
    return new Linear(new Map([[x, coefficient]]));
  }

  times(factor: number): Linear {
    return new Linear(new Map([...this.terms].map(([x, coefficient]) => [x, coefficient * factor])));
  }

  /** this + factor * other. */
  plus(other: Linear | Tensor, factor = 1): Linear {
    const terms = new Map(this.terms);
    for (const [x, coefficient] of other instanceof Linear ? other.terms : [[other, 1] as const])
      terms.set(x, (terms.get(x) ?? 0) + coefficient * factor);
    return new Linear(terms);
  }

  /** this - other. */
  minus(other: Linear | Tensor): Linear {
    return this.plus(other, -1);
  }

  /** Computes the sum, optionally clamped. Terms whose coefficient is 0 are left out. */
  toTensor(options: { clamp?: readonly [low: number, high: number] } = {}): Tensor {
    const terms = [...this.terms].map(([x, coefficient]) => [coefficient, x] as const);
    let used = terms.filter(([coefficient]) => coefficient !== 0);
    while (used.length > MAX_TERMS) used = [[1, linearCombination(used.slice(0, MAX_TERMS))], ...used.slice(MAX_TERMS)];
    return linearCombination(used.length > 0 ? used : terms.slice(0, 1), options);
  }
}
