/** Rows of a tensor as an operand: what no single binding holds is read and written part by part. */
import type { Device } from "./device.js";
import { BYTES, paddedBytes, product, type DType } from "./dtype.js";
import { ALIGNMENT, type Block } from "./memory.js";
import type { Tensor } from "./tensor.js";

/** Elements of a tensor from `start` on, under a shape of their own. Owns nothing. */
export class Part {
  readonly device: Device;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Number of elements. */
  readonly size: number;

  /** @throws RangeError where it is not within the tensor, or no binding could begin there */
  constructor(
    readonly of: Tensor,
    readonly start: number,
    shape: readonly number[],
  ) {
    this.device = of.device;
    this.shape = Object.freeze([...shape]);
    this.dtype = of.dtype;
    this.size = product(shape);
    if (start < 0 || start + this.size > of.size || this.offset % ALIGNMENT !== 0)
      throw new RangeError(`Part: [${shape.join(", ")}] from element ${start} on cannot be bound of ${String(of)}`);
  }

  get block(): Block {
    return this.of.block;
  }

  /** Bytes from the beginning of the tensor. */
  get offset(): number {
    return this.start * this.itemSize;
  }

  get bytes(): number {
    return paddedBytes(this.size, this.dtype);
  }

  get itemSize(): number {
    return BYTES[this.dtype];
  }

  toString(): string {
    return `elements ${this.start} to ${this.start + this.size} of ${String(this.of)}`;
  }
}

/** A tensor, or a part of one. */
export type Region = Tensor | Part;
