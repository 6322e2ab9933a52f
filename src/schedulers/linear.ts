import type { Tensor } from "../tensor/tensor.js";
import { cast } from "../tensor/ops/copy.js";
import { linearCombination } from "../tensor/ops/elementwise.js";

/** Terms that one dispatch sums. */
const MAX_TERMS = 8;

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

  /**
   * Computes the sum, optionally clamped. Terms whose coefficient is 0 are left out. Where a float16 model meets float32
   * latents, the sum is float32.
   */
  toTensor(options: { clamp?: readonly [low: number, high: number] } = {}): Tensor {
    const all = [...this.terms].map(([x, coefficient]) => [coefficient, x] as const);
    const isMixed = all.some(([, x]) => x.dtype !== all[0][1].dtype);
    const made: Tensor[] = [];
    const temporary = (x: Tensor): Tensor => (made.push(x), x);
    const nonzero = all.filter(([coefficient]) => coefficient !== 0);
    let terms = (nonzero.length > 0 ? nonzero : all.slice(0, 1)).map(
      ([coefficient, x]) =>
        [coefficient, isMixed && x.dtype !== "float32" ? temporary(cast(x, "float32")) : x] as const,
    );
    while (terms.length > MAX_TERMS)
      terms = [[1, temporary(linearCombination(terms.slice(0, MAX_TERMS)))], ...terms.slice(MAX_TERMS)];
    const sum = linearCombination(terms, options);
    for (const x of made) x.dispose();
    return sum;
  }
}
