/**
 * The second half of a product whose inner axis was cut into slices (split-K; matmul.wgsl.ts and conv2d.wgsl.ts have the first):
 * y[row, n] = activation(Σ sums[slice, row, n] + bias[n] + other_bias[n] + shift[image, n] + residual[row, n]), slices added in
 * order, in f32. N % 4 == 0.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

/** What is added to the sums, in the order of the bindings. */
export const TERMS = ["bias", "other_bias", "shift", "residual"] as const;
export type Term = (typeof TERMS)[number];

export interface MergeSlicesVariant extends StreamVariant {
  /** Of y and the terms; sums are f32. */
  format: Format;
  activation: Activation;
  /** Those that there are, in the order of TERMS. */
  terms: readonly Term[];
}

/** Slices whose sums are on their way at once. */
const AHEAD = 4;

/**
 * `quads` are those of y, one per thread, `columns` those of one of its rows. An image has `rows` rows; its quads of the shift lie
 * `shift_stride` elements behind those of the image before, the first at `shift_start`.
 */
export const mergeSlices: Kernel<MergeSlicesVariant> = {
  name: "merge slices",
  params: { ...STREAM_PARAMS, ...u32s("slices", "columns", "rows", "shift_stride", "shift_start") },
  bindings: ({ terms }) => ["read", "write", ...terms.map(() => "read" as const)],
  source({ format, activation, terms, lanes }) {
    const at: Record<Term, string> = {
      bias: "column",
      other_bias: "column",
      shift: "((params.shift_start + row / params.rows * params.shift_stride) >> 2u) + column",
      residual: "quad",
    };
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "sums", "read", "f32")}${tensor(2, "y", "write", format)}
${terms.map((term, i) => tensor(3 + i, term, "read", format)).join("")}
${activationFunctions}
fn merged(first: u32) -> vec4f {
  let quad = first >> 2u;
  let column = quad % params.columns;
  let row = quad / params.columns;
  var sum = vec4f();
  var at = quad;
  var slice = 0u;
  for (; slice + ${AHEAD}u <= params.slices; slice += ${AHEAD}u) {
${range(AHEAD)
  .map((i) => `    let next${i} = load4_sums(at + ${i}u * params.quads);`)
  .join("\n")}
${range(AHEAD)
  .map((i) => `    sum += next${i};`)
  .join("\n")}
    at += ${AHEAD}u * params.quads;
  }
  for (; slice < params.slices; slice++) { sum += load4_sums(at); at += params.quads; }
${terms.map((term) => `  sum += load4_${term}(${at[term]});`).join("\n")}
  return ${activate(activation, "sum")};
}

${overElements({ lanes }, "merged", true)}`;
  },
};
