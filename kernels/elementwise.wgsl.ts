/** Kernels that map elements to elements. Each thread computes whole quads of four consecutive elements. */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { enable, linearWorkgroup, paramsStruct, range, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

/** Entry point over quads; `body` sees the quad index `i`. */
const overQuads = (body: string): string => /* wgsl */ `
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
${body}
}`;

/** y = clamp(c0 x0 + c1 x1 + … + offset, low, high), terms summed in order. What every scheduler's step is made of. */
export interface LinearCombinationVariant {
  format: Format;
  terms: number;
  clamped: boolean;
}
/** With the result, WebGPU's default of 8 storage buffers. */
export const MAX_TERMS = 7;
export const linearCombination: Kernel<LinearCombinationVariant> = {
  name: "linear_combination",
  params: {
    quads: "u32",
    low: "f32",
    high: "f32",
    offset: "f32",
    ...(Object.fromEntries(range(MAX_TERMS).map((k) => [`c${k}`, "f32"])) as Record<string, "f32">),
  },
  bindings: ({ terms }) => [...range(terms).map(() => "read" as const), "write"],
  source({ format, terms, clamped }) {
    const sum = range(terms).map((k) => `params.c${k} * load4_x${k}(i)`);
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${range(terms)
  .map((k) => tensor(k + 1, `x${k}`, "read", format))
  .join("")}${tensor(terms + 1, "y", "write", format)}${overQuads(wgsl`
  let sum = ${sum.join(" + ")} + params.offset;
  #if ${clamped}
  store4_y(i, clamp(sum, vec4f(params.low), vec4f(params.high)));
  #else
  store4_y(i, sum);
  #endif`)}`;
  },
};

/** y = f(x) for f in silu, gelu, quick_gelu. */
export const activation: Kernel<{ format: Format; kind: Activation }> = {
  name: "activation",
  params: { quads: "u32" },
  bindings: () => ["read", "write"],
  source({ format, kind }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${activationFunctions}${overQuads(`  store4_y(i, ${activate(kind, "load4_x(i)")});`)}`;
  },
};

/**
 * y = x[:, :inner] * gelu(x[:, inner:]) over rows of 2 * inner (Shazeer 2020, "GLU variants"; diffusers' GEGLU), with the
 * exact gelu or, as in diffusers' FlaxGEGLU, its approximation by tanh.
 */
export const geglu: Kernel<{ format: Format; aligned: boolean; tanh: boolean }> = {
  name: "geglu",
  params: { quads: "u32", size: "u32", inner: "u32" },
  bindings: () => ["read", "write"],
  source({ format, aligned, tanh }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${activationFunctions}
fn at(e: u32) -> u32 { return (e / params.inner) * 2u * params.inner + e % params.inner; }
fn pair(e: u32) -> vec2f { let a = at(min(e, params.size - 1u)); return vec2f(load_x(a), load_x(a + params.inner)); }
${overQuads(wgsl`
  var value: vec4f;
  var gate: vec4f;
  #if ${aligned}
  let a = at(4u * i) >> 2u;
  value = load4_x(a);
  gate = load4_x(a + (params.inner >> 2u));
  #else
${range(4)
  .map((k) => `    { let p = pair(4u * i + ${k}u); value[${k}] = p.x; gate[${k}] = p.y; }`)
  .join("\n")}
  #endif
  store4_y(i, value * ${tanh ? "gelu_tanh" : "gelu"}(gate));`)}`;
  },
};

/** y = mean + exp(clamp(logvar, -30, 20) / 2) * noise: a draw from the VAE's posterior. */
export const gaussianSample: Kernel<{ format: Format }> = {
  name: "gaussian_sample",
  params: { quads: "u32" },
  bindings: () => ["read", "read", "read", "write"],
  source({ format }) {
    const inputs = ["mean", "logvar", "noise"].map((name, k) => tensor(k + 1, name, "read", format)).join("");
    return wgsl`${enable(format)}${paramsStruct(this.params)}${inputs}${tensor(4, "y", "write", format)}${overQuads(
      "  store4_y(i, load4_mean(i) + exp(0.5 * clamp(load4_logvar(i), vec4f(-30.0), vec4f(20.0))) * load4_noise(i));",
    )}`;
  },
};
