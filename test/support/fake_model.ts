/** The model of the scheduler trajectories: a bounded function of sample and time, on the GPU so that nothing is read back. */
import { enable, paramsStruct, tensor, wgsl, type Kernel } from "../../kernels/wgsl.js";
import { Tensor } from "../../src/tensor/tensor.js";

const WORKGROUP_SIZE = 64;

/** f(x) = 0.5 x / (1 + 0.1 |x|) + c in the first channels; in as many further ones, where there are any, g(x) = x / (1 + |x|). */
const fakeModel: Kernel = {
  name: "fake_model",
  params: { quads: "u32", width: "u32", outputWidth: "u32", c: "f32" },
  bindings: () => ["read", "write"],
  source() {
    return wgsl`${enable("f32")}${paramsStruct(this.params)}${tensor(1, "x", "read", "f32")}${tensor(2, "y", "write", "f32")}
fn value(e: u32) -> f32 {
  let b = e / params.outputWidth;
  let r = e % params.outputWidth;
  let v = load_x(b * params.width + r % params.width);
  if (r < params.width) { return (v * 0.5) / (1.0 + 0.1 * abs(v)) + params.c; }
  return v / (1.0 + abs(v));
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.quads) { return; }
  let e = 4u * id.x;
  store4_y(id.x, vec4f(value(e), value(e + 1u), value(e + 2u), value(e + 3u)));
}`;
  },
};

const f32 = Math.fround;

/** @param kind "f", or "f+g" for a model with twice the channels (learned variances) */
export function runFakeModel(x: Tensor, t: number, kind: "f" | "f+g"): Tensor {
  const factor = kind === "f" ? 1 : 2;
  const [batch, channels, ...rest] = x.shape;
  const y = Tensor.empty(x.device, [batch, channels * factor, ...rest], x.dtype);
  const width = x.size / batch;
  const quads = Math.ceil(y.size / 4);
  x.device.run({
    kernel: fakeModel,
    variant: {},
    values: { quads, width, outputWidth: width * factor, c: f32(f32(f32(t) / 1000) * f32(0.1)) },
    buffers: [x, y],
    grid: [Math.ceil(quads / WORKGROUP_SIZE)],
  });
  return y;
}
