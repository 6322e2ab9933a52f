/** Smaller versions of large ops, for adapters that would take minutes: fewer rows, the same inner sizes. */
import type { Conv2dShape, Shape } from "./shapes.js";

export interface Limits {
  flops: number;
  /** Elements of the largest tensor of ops without arithmetic to speak of. */
  elements: number;
}

const half = (n: number): number => Math.ceil(n / 2);

/** Halves what decides the number of rows of `shape` until it is within the limits. */
export function cut(shape: Shape, limits: Limits): Shape {
  switch (shape.op) {
    case "matmul":
      return repeat(
        shape,
        (s) => 2 * s.M * s.N * s.K > limits.flops && s.M > 32,
        (s) => ({ ...s, M: half(s.M) }),
      );
    case "conv2d":
      return repeat(shape, (s) => convFlops(s) > limits.flops && s.Cout > 64, cutConv);
    case "attention":
      return repeat(
        shape,
        (s) => 4 * s.B * s.heads * s.Lq * s.Lk * s.D > limits.flops && s.Lq > 64,
        (s) => (s.B > 1 ? { ...s, B: half(s.B) } : { ...s, Lq: half(s.Lq) }),
      );
    case "groupnorm":
      return repeat(
        shape,
        (s) => s.N * s.C * s.HW > limits.elements,
        (s) => ({ ...s, HW: half(s.HW) }),
      );
    case "layernorm":
      return repeat(
        shape,
        (s) => s.rows * s.C > limits.elements,
        (s) => ({ ...s, rows: half(s.rows) }),
      );
    default:
      return shape;
  }
}

const convFlops = ({ N, OH, OW, Cout, Cin, k }: Conv2dShape): number => 2 * N * OH * OW * Cout * Cin * k * k;

/** The batch, then the sides in turn; below 8x8 pixels borders would decide, so output channels instead. */
function cutConv(shape: Conv2dShape): Conv2dShape {
  const { N, H, W, OH, OW, Cout } = shape;
  if (OH <= 8 && OW <= 8) return { ...shape, Cout: half(Cout) };
  if (N > 1) return { ...shape, N: half(N) };
  return OH >= OW ? { ...shape, H: half(H), OH: half(OH) } : { ...shape, W: half(W), OW: half(OW) };
}

function repeat<S>(shape: S, tooLarge: (shape: S) => boolean, smaller: (shape: S) => S): S {
  let current = shape;
  while (tooLarge(current)) current = smaller(current);
  return current;
}
