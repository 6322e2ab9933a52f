/**
 * One corrector step of annealed Langevin dynamics (Song et al. 2021, arXiv 2011.13456, algorithm 4): with the mean g of the
 * norms of the score, s = 2 (strength / g)², y = x + s score + √(2 s) noise.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, wgsl, type Kernel } from "./wgsl.js";

export const langevin: Kernel<StreamVariant> = {
  name: "langevin",
  params: { ...STREAM_PARAMS, batch: "u32", strength: "f32" },
  bindings: () => ["read", "read", "read", "read", "write"],
  source({ lanes }) {
    return wgsl`${paramsStruct(this.params)}
${tensor(1, "x", "read", "f32")}${tensor(2, "score", "read", "f32")}${tensor(3, "noise", "read", "f32")}
@group(0) @binding(4) var<storage, read> norms: array<f32>;
${tensor(5, "y", "write", "f32")}
${overQuads(
  { lanes },
  `
  var g = 0.0;
  for (var b = 0u; b < params.batch; b++) { g += norms[b]; }
  let ratio = params.strength / (g / f32(params.batch));
  store4_y(i, load4_x(i) + 2.0 * ratio * (ratio * load4_score(i) + load4_noise(i)));`,
)}`;
  },
};
