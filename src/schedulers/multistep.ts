/** The classical linear multistep method. */
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";

/** Adams-Bashforth weights of the newest and the older values, by how many there are. */
const WEIGHTS = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]] as const;

/** The Adams-Bashforth combination of up to four values, newest first; more are left out. */
export function adamsBashforth(values: readonly Tensor[]): Linear {
  const [newest, ...older] = WEIGHTS[Math.min(values.length, 4) - 1];
  return older.reduce((sum, weight, i) => sum.plus(values[i + 1], weight), Linear.of(values[0], newest));
}
