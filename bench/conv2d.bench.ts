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
function conv2dCase({ N: batch, Cin: cin, H, W, Cout: cout, k, stride, pad, OH, OW }: Conv2dShape): Conv2dCase {
  const padsItself = stride === 2 && pad === 0;
  const [height, width] = padsItself ? [2 * OH, 2 * OW] : [H, W];
  return {
    ...{ name: "", batch, height, width, cin, cout, kernel: [k, k], stride, outHeight: OH, outWidth: OW },
    padding: padsItself ? [0, 1, 0, 1] : [pad, pad, pad, pad],
    flops: 2 * batch * OH * OW * cout * cin * k * k,
  };
}

export function conv2dBench(shape: Conv2dShape): BenchCase {
  const item = conv2dCase(shape);
  const { batch, height, width, cin, cout, stride, padding, outHeight, outWidth } = item;
  const { k, way } = shape;
  const terms = cin * k * k;
  const size = batch * outHeight * outWidth * cout;
  return {
    op: `conv2d ${k}x${k}${stride > 1 ? ` /${stride}` : ""}${way ? ` ${way}` : ""}`,
    label: `${times(batch, height, width, cin)} to ${cout}`,
    flops: item.flops,
    doneFlops: (pipelines) => doneFlops(item, pipelines),
    elements: batch * height * width * cin + terms * cout + size,
    size,
    tunable: !way,
    // Winograd's filtering rounds image and weights once more, in its basis: two roundings a pixel of the largest, at random.
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
      return { run: () => conv2d(x, w, bias, { stride, padding, winograd }), reference };
    },
  };
}

/** Winograd's filtering takes a product at each place of its basis for four pixels (kernels/winograd.ts). */
function doneFlops({ batch, outHeight, outWidth, cin, cout, flops }: Conv2dCase, pipelines: readonly string[]): number {
  if (!pipelines.some((label) => label.startsWith(winogradProducts.name))) return flops;
  return 2 * batch * Math.ceil(outHeight / 2) * Math.ceil(outWidth / 2) * placesOf(false) ** 2 * cin * cout;
}

/** Whether it can be done by Winograd's filtering as well as by one product. */
const takesBothWays = ({ k, stride, Cin, Cout }: Conv2dShape): boolean =>
  k === 3 && stride === 1 && Cin % 4 === 0 && Cout % 4 === 0;

/** The ways of a convolution beside each other, as rows that count for no model. */
export const bothWays = ({ shape }: Row): Row[] =>
  shape.op === "conv2d" && takesBothWays(shape)
    ? (["product", "winograd"] as const).map((way) => ({ shape: { ...shape, way }, counts: {} }))
    : [];
