import { Plan } from "../../tensor/plan.js";
import type { Tensor } from "../../tensor/tensor.js";

/**
 * A model's pass of one input, recorded though it runs once, as decoding is: planned memory is less than half of what an encoder takes op
 * by op.
 * @returns the caller disposes it
 */
export function planned(x: Tensor, label: string, work: (x: Tensor) => Tensor): Tensor {
  const plan = Plan.attempt(x.device, [x], work, { label });
  if (!plan) return work(x);
  try {
    return plan.run([x], { copy: true });
  } finally {
    plan.dispose();
  }
}
