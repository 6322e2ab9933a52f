/** Kernels that map elements to elements. Each thread computes whole quads of four consecutive elements. */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

/** y = clamp(c0 x0 + c1 x1 + … + offset, low, high), terms summed in order. What every scheduler's step is made of. */
export interface LinearCombinationVariant extends StreamVariant {
  format: Format;
  terms: number;
  clamped: boolean;
}
/** With the result, WebGPU's default of 8 storage buffers. */
export const MAX_TERMS = 7;
export const linearCombination: Kernel<LinearCombinationVariant> = {
  name: "linear_combination",
  params: {
    ...STREAM_PARAMS,
    low: "f32",
    high: "f32",
    offset: "f32",
    ...(Object.fromEntries(range(MAX_TERMS).map((k) => [`c${k}`, "f32"])) as Record<string, "f32">),
  },
  bindings: ({ terms }) => [...range(terms).map(() => "read" as const), "write"],
  source({ format, terms, clamped, lanes }) {
    const sum = range(terms).map((k) => `params.c${k} * load4_x${k}(i)`);
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${range(terms)
  .map((k) => tensor(k + 1, `x${k}`, "read", format))
  .join("")}${tensor(terms + 1, "y", "write", format)}${overQuads(
      { lanes },
      wgsl`
  let sum = ${sum.join(" + ")} + params.offset;
  #if ${clamped}
  store4_y(i, clamp(sum, vec4f(params.low), vec4f(params.high)));
  #else
  store4_y(i, sum);
  #endif`,
    )}`;
  },
};

/** y = f(x) for f in silu, gelu, quick_gelu. */
export const activation: Kernel<{ format: Format; kind: Activation } & StreamVariant> = {
  name: "activation",
  params: STREAM_PARAMS,
  bindings: () => ["read", "write"],
  source({ format, kind, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${activationFunctions}${overQuads({ lanes }, `  store4_y(i, ${activate(kind, "load4_x(i)")});`)}`;
  },
};

/**
 * y = x[:, :inner] * gelu(x[:, inner:]) over rows of 2 * inner (Shazeer 2020, "GLU variants"; diffusers' GEGLU), with the
 * exact gelu or, as in diffusers' FlaxGEGLU, its approximation by tanh.
 */
export const geglu: Kernel<{ format: Format; aligned: boolean; tanh: boolean } & StreamVariant> = {
  name: "geglu",
  params: { ...STREAM_PARAMS, ...u32s("size", "inner") },
  bindings: () => ["read", "write"],
  source({ format, aligned, tanh, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${activationFunctions}
fn at(e: u32) -> u32 { return (e / params.inner) * 2u * params.inner + e % params.inner; }
fn pair(e: u32) -> vec2f { let a = at(min(e, params.size - 1u)); return vec2f(load_x(a), load_x(a + params.inner)); }
${overQuads(
  { lanes },
  wgsl`
  var value: vec4f;
  var gate: vec4f;
  #if ${aligned}
  value = load4_x(row * (params.inner >> 1u) + c);
  gate = load4_x(row * (params.inner >> 1u) + c + (params.inner >> 2u));
  #else
${range(4)
  .map((k) => `    { let p = pair(4u * i + ${k}u); value[${k}] = p.x; gate[${k}] = p.y; }`)
  .join("\n")}
  #endif
  store4_y(i, value * ${tanh ? "gelu_tanh" : "gelu"}(gate));`,
  aligned ? { names: ["c", "row"], lengths: ["params.inner >> 2u"] } : undefined,
)}`;
  },
};

/** y = mean + exp(clamp(logvar, -30, 20) / 2) * noise: a draw from the VAE's posterior. */
export const gaussianSample: Kernel<{ format: Format } & StreamVariant> = {
  name: "gaussian_sample",
  params: STREAM_PARAMS,
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    const inputs = ["mean", "logvar", "noise"].map((name, k) => tensor(k + 1, name, "read", format)).join("");
    return wgsl`${enable(format)}${paramsStruct(this.params)}${inputs}${tensor(4, "y", "write", format)}${overQuads(
      { lanes },
      "  store4_y(i, load4_mean(i) + exp(0.5 * clamp(load4_logvar(i), vec4f(-30.0), vec4f(20.0))) * load4_noise(i));",
    )}`;
  },
};
