import { placesOf } from "../kernels/winograd.js";
import { winogradProducts } from "../kernels/winograd_products.wgsl.js";
import { conv2d } from "../src/tensor/ops/conv2d.js";
import { matmul } from "../src/tensor/ops/matmul.js";
import { conv2dData, conv2dReference, type Conv2dCase } from "../test/cases/conv2d.js";
import { times, type BenchCase } from "./bench_case.js";
import { EPSILON } from "./check.js";
import { roundAll } from "./round_all.js";
import type { Conv2dShape, Row } from "./shapes.js";

/** Traced with a padded input where torch pads right and below only (VAE encoder); here the convolution pads. */
function conv2dCase({
  N: batch,
  Cin: cin,
  H,
  W,
  Cout: cout,
  k,
  stride,
  pad,
  OH,
  OW,
  doubled,
}: Conv2dShape): Conv2dCase {
  const padsItself = stride === 2 && pad === 0;
  const [height, width] = padsItself ? [2 * OH, 2 * OW] : doubled ? [H / 2, W / 2] : [H, W];
  return {
    name: "",
    batch,
    height,
    width,
    cin,
    cout,
    kernel: [k, k],
    stride,
    outHeight: OH,
    outWidth: OW,
    upsample: Boolean(doubled),
    padding: padsItself ? [0, 1, 0, 1] : [pad, pad, pad, pad],
    flops: 2 * batch * OH * OW * cout * cin * k * k,
  };
}

export function conv2dBench(shape: Conv2dShape): BenchCase {
  const item = conv2dCase(shape);
  const { batch, height, width, cin, cout, stride, padding, upsample, outHeight, outWidth } = item;
  const { k, way } = shape;
  const terms = cin * k * k;
  const size = batch * outHeight * outWidth * cout;
  return {
    op: `conv2d ${k}x${k}${stride > 1 ? ` /${stride}` : ""}${upsample ? " of doubled" : ""}${way ? ` ${way}` : ""}`,
    label: `${times(batch, height, width, cin)} to ${cout}`,
    flops: item.flops,
    doneFlops: (pipelines) => doneFlops(item, pipelines),
    elements: batch * height * width * cin + terms * cout + size,
    size,
    tunable: !way,
    // Winograd's filtering rounds image and weights once more, in its basis: two roundings a pixel of the largest, at random.
    // Phases round sums of weights once more.
    tolerance: (dtype) => ({
      ofScale: EPSILON * (Math.sqrt(terms) + 1) + (dtype === "float16" && takesBothWays(shape) ? 2 ** -10 : 0),
    }),
    prepare(make, dtype) {
      const data = roundAll(conv2dData(item), dtype);
      const [x, bias] = [make(data.x, [batch, height, width, cin]), make(data.bias, [cout])];
      const reference = conv2dReference(item, data);
      if (k === 1) {
        // As layers.ts does: on NHWC it is a matmul over pixels.
        const w = make(data.w, [cin, cout]);
        return { run: () => matmul(x, w, { bias }), reference };
      }
      const w = make(data.w, [k, k, cin, cout]);
      const winograd = way && way === "winograd";
      return { run: () => conv2d(x, w, bias, { stride, padding, upsample, winograd }), reference };
    },
  };
}

/**
 * Winograd's filtering takes a product at each place of its basis for four pixels (kernels/winograd.ts), and so do the phases of a
 * doubled image, at four taps a pixel.
 */
function doneFlops(item: Conv2dCase, pipelines: readonly string[]): number {
  const { batch, outHeight, outWidth, cin, cout, upsample = false, flops } = item;
  const perTap = 2 * batch * Math.ceil(outHeight / 2) * Math.ceil(outWidth / 2) * cin * cout;
  if (pipelines.some((label) => label.startsWith(winogradProducts.name))) return perTap * placesOf(upsample) ** 2;
  return pipelines.some((label) => label.includes('"phases":true')) ? perTap * 16 : flops;
}

/** Whether it can be done by Winograd's filtering as well as by one product. */
const takesBothWays = ({ k, stride, Cin, Cout }: Conv2dShape): boolean =>
  k === 3 && stride === 1 && Cin % 4 === 0 && Cout % 4 === 0;

/** The ways of a convolution beside each other, as rows that count for no model. */
export const bothWays = ({ shape }: Row): Row[] =>
  shape.op === "conv2d" && takesBothWays(shape)
    ? (["product", "winograd"] as const).map((way) => ({ shape: { ...shape, way }, counts: {} }))
    : [];
