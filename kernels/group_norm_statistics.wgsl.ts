/**
 * Mean and M2 = Σ (x - mean)² of each channel over some of the pixels: the first of three kernels of group_norm.ts.
 * M2 is summed from x - x0, x0 the channel's first pixel of the run (Chan, Golub & LeVeque 1983, "shifted data"), and corrected
 * by the mean: E[x²] - mean² would cancel.
 */
import { beginOfRun, bySource } from "./group_norm.js";
import { enable, numbered, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface StatisticsVariant {
  format: Format;
  plain: boolean;
  joined: boolean;
}

/** y[image, split, channel] = (mean, M2) over the pixels of the split. `count` is images * splits * quads of channels. */
export const statistics: Kernel<StatisticsVariant> = {
  name: "group_norm statistics",
  params: u32s("spatial", "channels", "front", "splits", "count"),
  bindings: ({ joined }) => ["read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, plain, joined }) {
    // The first pixel adds nothing to sums of x - x0: leaving it out makes the number of the others even.
    const sums = bySource(
      joined,
      "at",
      "quads",
      (source, quads, skipped) => `
    let stride = ${quads};
    let column = at${skipped};
    x0 = column_${source}(first * stride + column);
    var e = (first + (pixels & 1u)) * stride + column;
    for (var k = 0u; k < pixels / 2u; k++) {
      let d = column_${source}(e) - x0;
      let next = column_${source}(e + stride) - x0;
      sum += d + next;
      square += d * d + next * next;
      e += 2u * stride;
    }`,
    );
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", "f32")}
${joined ? tensor(3, "skip", "read", format) : ""}
#if ${plain}
/** Quad e where each pixel has its last one filled up, with channels that nothing reads. */
fn column_x(e: u32) -> vec4f {
  let quads = (params.channels + 3u) / 4u;
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) {
    quad[lane] = load_x(e / quads * params.channels + min(4u * (e % quads) + lane, params.channels - 1u));
  }
  return quad;
}
#else
fn column_x(e: u32) -> vec4f { return load4_x(e); }
#endif
#if ${joined}
fn column_skip(e: u32) -> vec4f { return load4_skip(e); }
#endif
${beginOfRun}
${numbered("i")}
  if (i >= params.count) { return; }
  let quads = (params.channels + 3u) / 4u;
  let at = i % quads;
  let split = (i / quads) % params.splits;
  let image = i / quads / params.splits;
  let first = image * params.spatial + begin_of(split);
  let pixels = begin_of(split + 1u) - begin_of(split);
  var x0 = vec4f();
  var sum = vec4f();
  var square = vec4f();
  ${sums}
  let n = f32(pixels);
  let mean = x0 + sum / n;
  let m2 = max(square - sum * sum / n, vec4f());
  store4_y(2u * i, vec4f(mean.x, m2.x, mean.y, m2.y));
  store4_y(2u * i + 1u, vec4f(mean.z, m2.z, mean.w, m2.w));
}`;
  },
};
