/** The update formulas of UniPC (Zhao et al. 2023, arXiv 2302.04867). */
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";
import type { Level } from "./levels.js";

/** One step from a level to the next, with what earlier steps left behind. */
export interface UniStep {
  from: Level;
  to: Level;
  /** Levels before `from`, the latest first: one less than the order. */
  earlier: readonly Level[];
  /** Converted outputs of the model at `from` and at the earlier levels. */
  outputs: readonly Tensor[];
  x: Tensor;
}
export interface UniOptions {
  solver: "bh1" | "bh2";
  /** Whether the outputs are x0 (data) instead of the noise. */
  predictsData: boolean;
}

/** x such that A x = b, by Gaussian elimination with pivots. */
function solve(matrix: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, b[i]]);
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    const best = rows.slice(k).reduce((at, row, i) => (Math.abs(row[k]) > Math.abs(rows[at][k]) ? k + i : at), k);
    [rows[k], rows[best]] = [rows[best], rows[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i][k] / rows[k][k];
      for (let j = k; j <= n; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    const known = x.reduce((sum, value, j) => (j > k ? sum + rows[k][j] * value : sum), 0);
    x[k] = (rows[k][n] - known) / rows[k][k];
  }
  return x;
}

/** What predictor and corrector have in common: the step of first order, and the matrix of the higher ones. */
function prepare({ from, to, earlier, outputs, x }: UniStep, { solver, predictsData }: UniOptions) {
  const h = to.lambda - from.lambda;
  const signed = predictsData ? -h : h;
  const phi1 = Math.expm1(signed);
  const scale = solver === "bh1" ? signed : phi1;
  const ratios = [...earlier.map((level) => (level.lambda - from.lambda) / h), 1];
  const matrix: number[][] = [];
  const b: number[] = [];
  let phi = phi1 / signed - 1;
  for (let i = 1, factorial = 1; i <= ratios.length; i++) {
    matrix.push(ratios.map((ratio) => ratio ** (i - 1)));
    b.push((phi * factorial) / scale);
    factorial *= i + 1;
    phi = phi / signed - 1 / factorial;
  }
  const [m0, ...older] = outputs;
  const rate = predictsData ? to.alpha : to.sigma;
  const base = Linear.of(x, predictsData ? to.sigma / from.sigma : to.alpha / from.alpha).plus(m0, -rate * phi1);
  const differences = older.map((m, i) =>
    Linear.of(m)
      .minus(m0)
      .times(1 / ratios[i]),
  );
  return { matrix, b, base, differences, m0, weight: -rate * scale };
}

/** UniP: x at the next level. */
export function predictStep(step: UniStep, options: UniOptions): Linear {
  const { matrix, b, base, differences, weight } = prepare(step, options);
  const order = b.length;
  const rhos =
    order <= 2
      ? [0.5]
      : solve(
          matrix.slice(0, -1).map((row) => row.slice(0, -1)),
          b.slice(0, -1),
        );
  return differences.reduce((sum, difference, i) => sum.plus(difference, weight * rhos[i]), base);
}

/** UniC: the sample at `to` again, now that the model's output there is known. */
export function correctStep(step: UniStep, output: Tensor, options: UniOptions): Linear {
  const { matrix, b, base, differences, m0, weight } = prepare(step, options);
  const rhos = b.length === 1 ? [0.5] : solve(matrix, b);
  const predicted = differences.reduce((sum, difference, i) => sum.plus(difference, weight * rhos[i]), base);
  return predicted.plus(Linear.of(output).minus(m0), weight * rhos[rhos.length - 1]);
}
