/**
 * The second half of a product whose inner axis was cut into slices (split-K; matmul.wgsl.ts has the first):
 * y[M, N] = activation(Σ sums[slice, M, N] + bias[N] + residual[M, N]), slices added in order, in f32. N % 4 == 0.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { elementsEntry, enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export interface MatmulMergeVariant {
  /** Of y, bias and residual; sums are f32. */
  format: Format;
  activation: Activation;
  bias: boolean;
  residual: boolean;
}

/** `quads` are those of y, one per thread, `columns` those of one of its rows. */
export const matmulMerge: Kernel<MatmulMergeVariant> = {
  name: "matmul merge",
  params: u32s("slices", "quads", "columns"),
  bindings: ({ bias, residual }) => [
    "read",
    "write",
    ...[bias, residual].flatMap((has) => (has ? ["read" as const] : [])),
  ],
  source({ format, activation, bias, residual }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "sums", "read", "f32")}${tensor(2, "y", "write", format)}
${bias ? tensor(3, "bias", "read", format) : ""}${residual ? tensor(bias ? 4 : 3, "residual", "read", format) : ""}
${activationFunctions}
fn merged(first: u32) -> vec4f {
  let quad = first >> 2u;
  var sum = load4_sums(quad);
  for (var slice = 1u; slice < params.slices; slice++) { sum += load4_sums(slice * params.quads + quad); }
  #if ${bias}
  sum += load4_bias(quad % params.columns);
  #endif
  #if ${residual}
  sum += load4_residual(quad);
  #endif
  return ${activate(activation, "sum")};
}
${elementsEntry(WORKGROUP_SIZE, "merged", true)}`;
  },
};
