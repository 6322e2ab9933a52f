/** y = (x - mean) * root * weight + bias of a block (group_norm_block.ts), whose `moments` are (mean, root = 1/sqrt(var + eps)) by group. */
import { activationFunctions } from "./activation.js";
import { eachQuad, overPixels, type BlockVariant } from "./group_norm_block.js";
import { spans } from "./spans.js";
import { range } from "./wgsl.js";

export interface StreamVariant extends BlockVariant {
  silu: boolean;
}

/** weight, bias and y at three bindings from `binding`. */
export const streamTensors = (variant: StreamVariant, binding: number): string =>
  spans(binding, "weight", "read", variant) +
  spans(binding + 1, "bias", "read", variant) +
  spans(binding + 2, "y", "write", variant) +
  activationFunctions;

/** From the end, which the statistics have read last and caches still hold. */
const fromEnd = (p: string): string => `(params.spatial - 1u - ${p})`;

export const blockStream = (variant: StreamVariant): string => `
  if (!idle) {
    let weight = load_weight(at);
    let bias = load_bias(at);
    ${eachQuad(variant, (q) => {
      const each = range(4 / variant.unit);
      const lane = (field: string): string =>
        range(4)
          .map((i) => `m${q}_${Math.floor(i / variant.unit)}.${field}`)
          .join(", ");
      return `${each.map((k) => `let m${q}_${k} = moments[(column * LANES + ${4 * q + k * variant.unit}u) / params.per_group];`).join("\n    ")}
    let mean${q} = vec4f(${lane("x")});
    let scale${q} = vec4f(${lane("y")}) * weight[${q}];`;
    })}
    ${overPixels(variant, fromEnd, (u) => {
      const quad = (q: number): string => {
        const y = `(v${u}[${q}] - mean${q}) * scale${q} + bias[${q}]`;
        return variant.silu ? `silu(${y})` : y;
      };
      const y = `Span(${range(variant.quads).map(quad).join(", ")})`;
      const stored = `store_y((image * params.spatial + ${fromEnd(`p${u}`)}) * spans + at, ${y});`;
      return u === 0 ? stored : `if (p + ${u}u * step < params.spatial) { ${stored} }`;
    })}
  }`;
