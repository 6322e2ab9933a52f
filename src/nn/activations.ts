/** Activation functions by the names that configs use, diffusers/models/activations.py. */
import { activation as apply } from "../tensor/ops/elementwise.js";
import type { MatmulOptions } from "../tensor/ops/matmul.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Rule } from "./config.js";
import type { GroupNorm } from "./layers.js";

export type Activation = NonNullable<MatmulOptions["activation"]>;

const NAMES: Readonly<Record<string, Activation>> = {
  swish: "silu",
  silu: "silu",
  mish: "mish",
  gelu: "gelu",
  relu: "relu",
};

export const isActivation: Rule = (value) => typeof value === "string" && value.toLowerCase() in NAMES;

/** @param name one that isActivation() accepts */
export const activationOf = (name: string): Activation => NAMES[name.toLowerCase()];

/** The activation of x: x itself for "none". */
export const activate = (x: Tensor, kind: Activation): Tensor => (kind === "none" ? x : apply(x, kind));

/** A group norm, of x and the channels of `skip` behind its own, and an activation: SiLU is fused into the norm. */
export function normalized(norm: GroupNorm, x: Tensor, kind: Activation, skip: Tensor | null = null): Tensor {
  if (kind === "silu") return norm.forward(x, { silu: true, skip });
  const y = norm.forward(x, { skip });
  const activated = activate(y, kind);
  if (activated !== y) y.dispose();
  return activated;
}
