/** Coefficients of SA-Solver: stochastic Adams methods (Xue et al. 2023, arXiv 2309.05019). */

/** Coefficients of the Lagrange polynomial that is 1 at node i and 0 at the others, lowest power first. */
function lagrange(nodes: readonly number[], i: number): number[] {
  return nodes.reduce(
    (polynomial, node, k) => {
      if (k === i) return polynomial;
      const scale = 1 / (nodes[i] - node);
      return [0, ...polynomial].map((c, power) => (c - node * (polynomial[power] ?? 0)) * scale);
    },
    [1],
  );
}

/** Σₖ signᵏ p!/(p-k)! z^(p-k): the polynomial beside e^z in the integral of z^p e^(±z). */
function partsPolynomial(p: number, z: number, sign: 1 | -1): number {
  let [sum, factor] = [0, 1];
  for (let k = 0; k <= p; k++) {
    sum += factor * z ** (p - k);
    factor *= sign * (p - k);
  }
  return sum;
}

/** ∫ λ^p e^((1 + τ²) λ) dλ from start to end. */
function dataIntegral(p: number, start: number, end: number, tau: number): number {
  const c = 1 + tau ** 2;
  const [from, to] = [c * start, c * end];
  return (
    (Math.exp(to) * (partsPolynomial(p, to, -1) - partsPolynomial(p, from, -1) * Math.exp(from - to))) / c ** (p + 1)
  );
}

/** ∫ λ^p e^(-λ) dλ from start to end. */
function noiseIntegral(p: number, start: number, end: number): number {
  return Math.exp(-end) * (partsPolynomial(p, start, 1) * Math.exp(end - start) - partsPolynomial(p, end, 1));
}

/**
 * Weight of each model output in the integral over a step, outputs being interpolated in λ through the nodes.
 * @param tau amount of noise; null for a solver that works on the noise instead of x0
 */
export function adamsWeights(nodes: readonly number[], start: number, end: number, tau: number | null): number[] {
  return nodes.map((_, i) =>
    lagrange(nodes, i).reduce(
      (sum, c, p) => sum + c * (tau === null ? noiseIntegral(p, start, end) : dataIntegral(p, start, end, tau)),
      0,
    ),
  );
}
