/**
 * flags[slot] = 1 where any of `size` numbers x is infinite or NaN, and else as it was. They are told by their bits in memory: compilers
 * may assume that no float is either.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, wgsl, type BitsFormat, type Kernel } from "./wgsl.js";

/** Where all bits of the exponent are set there is no finite number. */
const EXPONENT: Record<BitsFormat, string> = { u32: "vec4u(0x7f800000u)", u16: "vec4u(0x7c00u)" };

export const nonFinite: Kernel<{ format: BitsFormat } & StreamVariant> = {
  name: "non_finite",
  params: { ...STREAM_PARAMS, ...u32s("size", "slot") },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return wgsl`${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;
${overQuads(
  { lanes },
  `  // Behind the last number a quad holds anything.
  let counts = 4u * vec4u(i) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
  let exponents = load4_x(i) & ${EXPONENT[format]};
  if (any(counts & (exponents == ${EXPONENT[format]}))) { atomicStore(&flags[params.slot], 1u); }`,
)}`;
  },
};
