/** Median and percentiles of measured times. */
export interface Summary {
  median: number;
  p10: number;
  p90: number;
}

/**
 * The value below which a fraction `q` of the values lies, between two of them linearly (numpy's default).
 * @throws RangeError for no values, or a value that is no number
 */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0 || values.some(Number.isNaN))
    throw new RangeError(`quantile: needs numbers, got [${values.join(", ")}]`);
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

export const summarize = (values: readonly number[]): Summary => ({
  median: quantile(values, 0.5),
  p10: quantile(values, 0.1),
  p90: quantile(values, 0.9),
});
