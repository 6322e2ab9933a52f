/** Linear layers that read the same input, computed as one product. */
import { Columns, type Operand } from "../tensor/columns.js";
import { matmul } from "../tensor/ops/matmul.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Linear } from "./layers.js";
import { Parameter } from "./module.js";

/** Where one layer's results lie: columns `start` on of product `of`, or all of it. */
interface Slot {
  of: number;
  start: number | null;
  count: number;
}

/**
 * Weights of the layers lie side by side in one tensor, [in, sum of outs], biases in another, as long as that stays within one
 * binding; then the next begins. In files they are those of the layers. Layers whose outputs are no whole quads stay by themselves.
 */
export class LinearStack {
  readonly #products: { weight: Parameter; bias: Parameter | null }[] = [];
  readonly #slots: Slot[] = [];

  /**
   * @param layers of the same width; from now on they have no tensors of their own, and no forward()
   * @throws RangeError if their inputs differ in width, or only some have a bias
   */
  constructor(layers: readonly Linear[]) {
    const inputs = layers[0]?.weight.shape[1] ?? 0;
    const biased = layers[0]?.bias !== null;
    for (const { weight, bias } of layers)
      if (weight.shape[1] !== inputs || (bias !== null) !== biased)
        throw new RangeError(
          `LinearStack: takes layers of one width, all with a bias or none, got [${weight.shape.join(", ")}] beside [${layers[0].weight.shape.join(", ")}]`,
        );
    for (const run of runs(layers, inputs)) this.#place(run, inputs);
  }

  #place(run: readonly Linear[], inputs: number): void {
    const of = this.#products.length;
    if (run.length === 1) {
      const [{ weight, bias }] = run;
      this.#slots.push({ of, start: null, count: weight.shape[0] });
      this.#products.push({ weight, bias });
      return;
    }
    const total = run.reduce((sum, { weight }) => sum + weight.shape[0], 0);
    const whole = {
      weight: new Parameter([total, inputs], "linear"),
      bias: run[0].bias && new Parameter([total]),
    };
    let start = 0;
    for (const { weight, bias } of run) {
      const count = weight.shape[0];
      weight.placeIn(whole.weight, start);
      if (whole.bias) bias?.placeIn(whole.bias, start);
      this.#slots.push({ of, start, count });
      start += count;
    }
    this.#products.push(whole);
  }

  /** The layers' results, in order. @param x [..., in] */
  forward(x: Tensor): Operand[] {
    return this.split(this.products(x));
  }

  /** How many products there are. */
  get count(): number {
    return this.#products.length;
  }

  /** The tensors that the layers' results are parts of, `count` of them. */
  products(x: Tensor): Tensor[] {
    return this.#products.map(({ weight, bias }) => matmul(x, weight.value, { bias: bias?.value }));
  }

  /** The layers' results in the tensors of products(). */
  split(products: readonly Tensor[]): Operand[] {
    return this.#slots.map(({ of, start, count }) =>
      start === null ? products[of] : new Columns(products[of], start, count),
    );
  }
}

/** Elements of one weight at most: WebGPU's default limit of a binding, 128 MiB, in float32. */
const MOST = 2 ** 25;

/** Layers that lie side by side, in the order given. */
function runs(layers: readonly Linear[], inputs: number): Linear[][] {
  const all: Linear[][] = [];
  let room = 0;
  for (const layer of layers) {
    const [outputs] = layer.weight.shape;
    const whole = outputs % 4 === 0;
    if (whole && outputs * inputs <= room) all[all.length - 1].push(layer);
    else {
      all.push([layer]);
      room = whole ? MOST : 0;
    }
    room -= outputs * inputs;
  }
  return all;
}
