/** y = (x - mean) * scale + bias: the last of three kernels of group_norm.ts. */
import { activationFunctions } from "./activation.js";
import { bySource } from "./group_norm.js";
import { eachHeld, holdEach, inStripes, STRIPE_PARAMS, type StripeVariant } from "./stripes.js";
import { enable, numbered, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface ApplyVariant {
  format: Format;
  silu: boolean;
  joined: boolean;
  /** null: the plain kernel, of any number of channels. */
  stripe: StripeVariant | null;
}

/** `columns` are quads of channels, of which x has `front`; the plain kernel has a thread per quad of y, of `size` elements. */
export const apply: Kernel<ApplyVariant> = {
  name: "group_norm apply",
  params: { ...STRIPE_PARAMS, ...u32s("front", "size", "channels") },
  bindings: ({ joined }) => ["read", "read", "read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, silu, joined, stripe }) {
    const done = (y: string): string => (silu ? `silu(${y})` : y);
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
${tensor(2, "moments", "read", "f32")}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
${joined ? tensor(5, "skip", "read", format) : ""}
${activationFunctions}
${stripe ? inStripes(stripe, streams(stripe, joined, done)) : plain(done)}`;
  },
};

const streams = (stripe: StripeVariant, joined: boolean, done: (y: string) => string): string => `
${holdEach(stripe, {
  mean: (quad) => `load4_moments(2u * image * params.columns + ${quad})`,
  scale: (quad) => `load4_moments((2u * image + 1u) * params.columns + ${quad})`,
  bias: (quad) => `load4_bias(${quad})`,
})}
  ${bySource(joined, "first", "params.columns", (source, quads, skipped) => {
    const store = (k: number, quad: string): string => `
      let y${k} = (load4_${source}(at${skipped} + ${quad}) - mean${k}) * scale${k} + bias${k};
      store4_y(to + ${quad}, ${done(`y${k}`)});`;
    return `
    for (var pixel = begin; pixel < end; pixel++) {
      let at = pixel * ${quads};
      let to = pixel * params.columns;
${eachHeld(stripe, store)}
    }`;
  })}`;

const plain = (done: (y: string) => string): string => `${numbered("i")}
  if (i >= params.threads) { return; }
  let quads = (params.channels + 3u) / 4u;
  var quad: vec4f;
  for (var lane = 0u; lane < 4u; lane++) {
    let e = min(4u * i + lane, params.size - 1u);
    let c = e % params.channels;
    let m = 8u * (e / (params.spatial * params.channels)) * quads + c;
    quad[lane] = (load_x(e) - load_moments(m)) * load_moments(m + 4u * quads) + load_bias(c);
  }
  store4_y(i, ${done("quad")});
}`;
