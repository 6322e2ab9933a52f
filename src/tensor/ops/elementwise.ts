import type { Activation } from "../../../kernels/activation.js";
import * as kernels from "../../../kernels/elementwise.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf, sameShape } from "./common.js";
import { runStream } from "./streams.js";

/**
 * Σ cₖ xₖ (+ offset) over tensors of one shape, optionally clamped; sums in float32.
 * Coefficients are numbers computed in double precision on the CPU: a scheduler's step is one or two of these.
 * @param terms 1 to 7 pairs of coefficient and tensor
 */
export function linearCombination(
  terms: readonly (readonly [coefficient: number, x: Tensor])[],
  { clamp, offset = 0 }: { clamp?: readonly [low: number, high: number]; offset?: number } = {},
): Tensor {
  if (terms.length < 1 || terms.length > kernels.MAX_TERMS)
    throw new RangeError(`linearCombination: takes 1 to ${kernels.MAX_TERMS} terms, got ${terms.length}`);
  const tensors = terms.map(([, x]) => x);
  const [first, ...others] = tensors;
  for (const [coefficient] of terms)
    if (!Number.isFinite(coefficient))
      throw new RangeError(`linearCombination: coefficients must be finite, got ${coefficient}`);
  for (const other of others) sameShape("linearCombination", first, other);
  const format = formatFor("linearCombination", first, ...others);
  const y = Tensor.empty(first.device, first.shape, first.dtype);
  const coefficients = Array.from({ length: kernels.MAX_TERMS }, (_, k) => [`c${k}`, terms[k]?.[0] ?? 0]);
  runStream(first.device, quadsOf(y), {
    kernel: kernels.linearCombination,
    variant: { format, terms: terms.length, clamped: clamp !== undefined },
    values: { offset, low: clamp?.[0] ?? 0, high: clamp?.[1] ?? 0, ...Object.fromEntries(coefficients) },
    buffers: [...tensors, y],
  });
  return y;
}

/** x + y. */
export const add = (x: Tensor, y: Tensor): Tensor =>
  linearCombination([
    [1, x],
    [1, y],
  ]);

/** silu, gelu (exact), quick_gelu, mish or relu of every element. */
export function activation(x: Tensor, kind: Exclude<Activation, "none">): Tensor {
  const format = formatFor(kind, x);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  runStream(x.device, quadsOf(y), {
    kernel: kernels.activation,
    variant: { format, kind },
    values: {},
    buffers: [x, y],
  });
  return y;
}

/** torch.nn.functional.gelu's argument: "none" is exact, "tanh" what JAX takes. */
export type GELUApproximation = "none" | "tanh";

/** x[…, :inner] * gelu(x[…, inner:]), halving the last axis. */
export function geglu(x: Tensor, { approximate = "none" }: { approximate?: GELUApproximation } = {}): Tensor {
  const width = x.shape.at(-1) ?? 0;
  if (width % 2 !== 0 || width === 0)
    throw new RangeError(`geglu: the last axis must be even, got [${x.shape.join(", ")}]`);
  const format = formatFor("geglu", x);
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), width / 2], x.dtype);
  runStream(x.device, quadsOf(y), {
    kernel: kernels.geglu,
    variant: { format, aligned: width % 8 === 0, tanh: approximate === "tanh" },
    values: { size: y.size, inner: width / 2 },
    buffers: [x, y],
  });
  return y;
}

/** mean + exp(clamp(logvar, -30, 20) / 2) * noise, all of one shape. */
export function gaussianSample(mean: Tensor, logvar: Tensor, noise: Tensor): Tensor {
  sameShape("gaussianSample", mean, logvar);
  sameShape("gaussianSample", mean, noise);
  const format = formatFor("gaussianSample", mean, logvar, noise);
  const y = Tensor.empty(mean.device, mean.shape, mean.dtype);
  const buffers = [mean, logvar, noise, y];
  runStream(mean.device, quadsOf(y), {
    kernel: kernels.gaussianSample,
    variant: { format },
    values: {},
    buffers,
  });
  return y;
}
