/** y[r] = a[r] ++ b[r] for rows of `width_a` and `width_b`: torch.cat along any axis, with the axes before it as rows. */
import { eachElement, overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, wgsl, type BitsFormat, type Kernel } from "./wgsl.js";

const AXES = { names: ["c", "row"], lengths: ["(params.width_a + params.width_b) >> 2u"] };
const QUAD = `  let a = params.width_a >> 2u;
  if (c < a) { store4_y(i, load4_a(row * a + c)); }
  else { store4_y(i, load4_b(row * (params.width_b >> 2u) + c - a)); }`;

export const concat: Kernel<{ format: BitsFormat; aligned: boolean } & StreamVariant> = {
  name: "concat",
  params: { ...STREAM_PARAMS, ...u32s("size", "width_a", "width_b") },
  bindings: () => ["read", "read", "write"],
  source({ format, aligned, lanes }) {
    return wgsl`${paramsStruct(this.params)}${tensor(1, "a", "read", format)}${tensor(2, "b", "read", format)}${tensor(3, "y", "write", format)}
fn element(index: u32) -> u32 {
  let e = min(index, params.size - 1u);
  let width = params.width_a + params.width_b;
  let row = e / width;
  let c = e % width;
  if (c < params.width_a) { return load_a(row * params.width_a + c); }
  return load_b(row * params.width_b + c - params.width_a);
}
${aligned ? overQuads({ lanes }, QUAD, AXES) : overQuads({ lanes }, `  store4_y(i, ${eachElement("element", "vec4u")});`)}`;
  },
};
