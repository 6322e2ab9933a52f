/** The classical linear multistep method. */
import type { History } from "./history.js";
import { Linear } from "./linear.js";

/** Adams-Bashforth weights of the newest and the older values, by how many there are. */
const WEIGHTS = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]] as const;

/** The Adams-Bashforth combination of up to four remembered values. */
export function adamsBashforth(values: History): Linear {
  const [newest, ...older] = WEIGHTS[Math.min(values.length, 4) - 1];
  return older.reduce((sum, weight, i) => sum.plus(values.at(-2 - i), weight), Linear.of(values.at(-1), newest));
}
