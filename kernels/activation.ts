/** Activation functions as WGSL text, used alone and in the epilogues of matmul and conv2d. */

/** torch.nn.functional's names: gelu is the exact one (erf), quick_gelu is CLIP's x * sigmoid(1.702 x). */
export type Activation = "none" | "silu" | "gelu" | "quick_gelu";

/** How an epilogue names its activation in a u32 param, so that one pipeline serves all of them. */
export const ACTIVATION_CODE: Record<Activation, number> = { none: 0, silu: 1, gelu: 2, quick_gelu: 3 };

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
fn activate(x: vec4f, code: u32) -> vec4f {
  switch code {
    case 1u: { return silu(x); }
    case 2u: { return gelu(x); }
    case 3u: { return quick_gelu(x); }
    default: { return x; }
  }
}
`;
