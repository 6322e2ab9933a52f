/** y = (x - mean) * scale + bias: the last of three kernels of group_norm.ts. */
import { activationFunctions } from "./activation.js";
import { bySource, entry } from "./group_norm.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

/** Pixels that a thread normalises: what it knows of its channels is used so often. */
export const PIXELS = 16;

export interface ApplyVariant {
  format: Format;
  silu: boolean;
  plain: boolean;
  joined: boolean;
}

/** y = (x - mean) * scale + bias. `count` is images * runs of pixels * quads of channels; in the plain kernel the quads of y. */
export const apply: Kernel<ApplyVariant> = {
  name: "group_norm apply",
  params: u32s("count", "size", "spatial", "channels", "front"),
  bindings: ({ joined }) => ["read", "read", "read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, silu, plain, joined }) {
    const done = (y: string): string => (silu ? `silu(${y})` : y);
    const stream = bySource(
      joined,
      (source, quads, of) => `
    for (var pixel = first; pixel < end; pixel++) {
      let y = (load4_${source}(pixel * ${quads} + ${of}) - mean) * scale + b;
      store4_y(pixel * quads + at, ${done("y")});
    }`,
    );
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
${tensor(2, "moments", "read", "f32")}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
${joined ? tensor(5, "skip", "read", format) : ""}
${activationFunctions}
${entry}
  if (i >= params.count) { return; }
  let quads = (params.channels + 3u) / 4u;
  #if ${plain}
  var quad: vec4f;
  for (var lane = 0u; lane < 4u; lane++) {
    let e = min(4u * i + lane, params.size - 1u);
    let c = e % params.channels;
    let m = 8u * (e / (params.spatial * params.channels)) * quads + c;
    quad[lane] = (load_x(e) - load_moments(m)) * load_moments(m + 4u * quads) + load_bias(c);
  }
  store4_y(i, ${done("quad")});
  #else
  let at = i % quads;
  let runs = (params.spatial + ${PIXELS - 1}u) / ${PIXELS}u;
  let image = i / quads / runs;
  let run = (i / quads % runs) * ${PIXELS}u;
  let mean = load4_moments(2u * image * quads + at);
  let scale = load4_moments((2u * image + 1u) * quads + at);
  let b = load4_bias(at);
  let first = image * params.spatial + run;
  let end = image * params.spatial + min(run + ${PIXELS}u, params.spatial);
  ${stream}
  #endif
}`;
  },
};
