/**
 * flags[slot] = 1 where any of `size` numbers x is infinite or none, and else as it was. They are told by their bits: compilers may
 * assume that there are none.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const nonFinite: Kernel<{ format: Format } & StreamVariant> = {
  name: "non_finite",
  params: { ...STREAM_PARAMS, ...u32s("size", "slot") },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;
${overQuads(
  { lanes },
  `  // Behind the last number a quad holds anything.
  let counts = 4u * vec4u(i) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
  let exponents = bitcast<vec4u>(load4_x(i)) & vec4u(0x7f800000u);
  if (any(counts & (exponents == vec4u(0x7f800000u)))) { atomicStore(&flags[params.slot], 1u); }`,
)}`;
  },
};
