/**
 * Layer normalisation (formula: layer_norm.wgsl.ts) on CPU adapters, in two kernels: `rowMoments`, a thread per row, and
 * `rowsApply`, a stream with weight and bias in registers: there each load costs as much as one of x.
 */
import { eachHeld, holdEach, inStripes, STRIPE_PARAMS, type StripeVariant } from "./stripes.js";
import { enable, numbered, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface RowMomentsVariant {
  format: Format;
  /** Quads that are loaded at once; they divide those of a row. */
  unroll: number;
}

/**
 * y[row] = (mean, 1 / sqrt(var + eps)). Sums of (x - mean)² of a few quads at a time are joined by Chan, Golub & LeVeque 1979:
 * neither a mean far from zero nor a first number far from the others costs digits.
 */
export const rowMoments: Kernel<RowMomentsVariant> = {
  name: "layer_norm moments",
  params: { ...u32s("rows", "quads"), eps: "f32" },
  bindings: () => ["read", "write"],
  source({ format, unroll }) {
    const all = range(unroll);
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
@group(0) @binding(2) var<storage, read_write> y: array<vec2f>;${numbered("row")}
  if (row >= params.rows) { return; }
  let start = row * params.quads;
  // Of each of the four numbers of quads by itself.
  var mean = vec4f();
  var squares = vec4f();
  var before = 0.0;
  for (var i = start; i < start + params.quads; i += ${unroll}u) {
${all.map((u) => `    let x${u} = load4_x(i + ${u}u);`).join("\n")}
    let middle = (${all.map((u) => `x${u}`).join(" + ")}) * ${1 / unroll};
${all.map((u) => `    let d${u} = x${u} - middle;`).join("\n")}
    let share = 1.0 / (before + 1.0);
    let delta = middle - mean;
    squares += ${all.map((u) => `d${u} * d${u}`).join(" + ")} + delta * delta * (${unroll}.0 * before * share);
    mean += delta * share;
    before += 1.0;
  }
  let middle = dot(mean, vec4f(0.25));
  let delta = mean - middle;
  let m2 = dot(squares, vec4f(1.0)) + dot(delta, delta) * f32(params.quads);
  y[row] = vec2f(middle, inverseSqrt(m2 / f32(4u * params.quads) + params.eps));
}`;
  },
};

export const rowsApply: Kernel<{ format: Format } & StripeVariant> = {
  name: "layer_norm apply",
  params: STRIPE_PARAMS,
  bindings: () => ["read", "read", "read", "read", "write"],
  source({ format, ...stripe }) {
    const body = `${holdEach(stripe, { w: (quad) => `load4_weight(${quad})`, b: (quad) => `load4_bias(${quad})` })}
  for (var row = begin; row < end; row++) {
    let found = moments[row];
    let at = row * params.columns;
${eachHeld(stripe, (k, quad) => `    store4_y(at + ${quad}, (load4_x(at + ${quad}) - found.x) * found.y * w${k} + b${k});`)}
  }`;
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x", "read", format)}${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}
@group(0) @binding(4) var<storage, read> moments: array<vec2f>;
${tensor(5, "y", "write", format)}${inStripes(stripe, body)}`;
  },
};
