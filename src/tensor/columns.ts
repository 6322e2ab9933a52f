/** Columns of a matrix as an operand: several products are computed as one, and each reader takes its part in place. */
import { Tensor } from "./tensor.js";

/** Columns [start, start + count) of a tensor's last axis. Owns nothing. */
export class Columns {
  readonly shape: readonly number[];

  /** @throws RangeError unless start, count and the tensor's last axis are whole quads: kernels load nothing smaller */
  constructor(
    readonly of: Tensor,
    readonly start: number,
    readonly count: number,
  ) {
    const width = of.shape.at(-1) ?? 0;
    const whole = [start, count, width].every((n) => n % 4 === 0);
    if (!whole || start < 0 || count < 1 || start + count > width)
      throw new RangeError(`Columns: ${start} to ${start + count} are no range of whole quads of ${String(of)}`);
    this.shape = Object.freeze([...of.shape.slice(0, -1), count]);
  }

  toString(): string {
    return `columns ${this.start} to ${this.start + this.count} of ${String(this.of)}`;
  }
}

export type Operand = Tensor | Columns;

/** Where an operand's rows lie in memory: `stride` elements apart, from element `start` on. */
export interface Place {
  tensor: Tensor;
  stride: number;
  start: number;
}

export function placeOf(operand: Operand): Place {
  const [tensor, start] = operand instanceof Tensor ? [operand, 0] : [operand.of, operand.start];
  return { tensor, stride: tensor.shape.at(-1) ?? 0, start };
}
