/** Activation functions as WGSL text, used alone and in the epilogues of matmul and conv2d. */

/** torch.nn.functional's names: gelu is the exact one (erf), quick_gelu is CLIP's x * sigmoid(1.702 x). */
export type Activation = "none" | "silu" | "gelu" | "quick_gelu" | "mish" | "relu";

// exp's argument is clamped: WGSL may treat infinities as undefined. erf: Abramowitz & Stegun 7.1.26, error below 1.5e-7.
export const activationFunctions = /* wgsl */ `
fn silu(x: vec4f) -> vec4f { return x / (1.0 + exp(min(-x, vec4f(80.0)))); }
fn quick_gelu(x: vec4f) -> vec4f { return x / (1.0 + exp(min(-1.702 * x, vec4f(80.0)))); }
fn erf(x: vec4f) -> vec4f {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(x) * (1.0 - p * exp(max(-a * a, vec4f(-80.0))));
}
fn gelu(x: vec4f) -> vec4f { return 0.5 * x * (1.0 + erf(x * 0.70710678118654752)); }
// max() would make a number of NaN, which nobody then hears of.
fn relu(x: vec4f) -> vec4f { return select(x, vec4f(), x < vec4f()); }
/** x * tanh(ln(1 + e^x)), the hyperbolic tangent written out; from 20 on it is 1 in f32. */
fn mish(x: vec4f) -> vec4f {
  let e = exp(min(x, vec4f(20.0)));
  let n = e * (e + 2.0);
  return x * n / (n + 2.0);
}
// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))): jax.nn.gelu's default.
fn gelu_tanh(x: vec4f) -> vec4f {
  return x / (1.0 + exp(clamp(-1.5957691216057308 * x * (1.0 + 0.044715 * x * x), vec4f(-80.0), vec4f(80.0))));
}
`;

/**
 * The text that applies an activation to a vec4f. Chosen when the kernel is rendered, not by a param: CPU adapters
 * execute every side of a branch, and three exponentials per store cost more than a short matmul.
 */
export const activate = (kind: Activation, x: string): string => (kind === "none" ? x : `${kind}(${x})`);
