import type { Device } from "./device.js";
import type { Tensor } from "./tensor.js";

/** An operand of a product that kernels read in another order than it lies in memory: only its copy in a texture has it. */
export class Reordered {
  /**
   * @param order names it: copies of a tensor in the same order are the same
   * @param compute records the work that brings the numbers in order; the result is short-lived
   */
  constructor(
    readonly tensor: Tensor,
    readonly order: string,
    readonly compute: (device: Device) => Tensor,
  ) {}
}
