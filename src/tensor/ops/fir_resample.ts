import { firResample as kernel, MAX_TAPS } from "../../../kernels/fir_resample.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

export interface FirOptions {
  /** The filter along each axis, at most 4 weights. */
  taps: readonly number[];
  /** 2 puts a zero after every pixel first. */
  up?: 1 | 2;
  /** Every how many-th pixel is kept. */
  down?: 1 | 2;
  /** Pixels added before and after, in the stuffed image. */
  pad?: readonly [before: number, after: number];
  /** What lies past the edge: zeros, or the image mirrored. */
  edge?: "zero" | "reflect";
}

/**
 * upfirdn2d of diffusers/models/upsampling.py for symmetric separable filters, on NHWC; sums in float32.
 * @param x [batch, height, width, channels]
 */
export function firResample(x: Tensor, { taps, up = 1, down = 1, pad = [0, 0], edge = "zero" }: FirOptions): Tensor {
  const [batch, height, width, channels] = x.shape;
  if (taps.length > MAX_TAPS) throw new RangeError(`firResample: takes at most ${MAX_TAPS} taps, got ${taps.length}`);
  const [outHeight, outWidth] = [height, width].map(
    (n) => Math.floor((n * up + pad[0] + pad[1] - taps.length) / down) + 1,
  );
  if (x.shape.length !== 4 || !(outHeight > 0 && outWidth > 0))
    throw new RangeError(
      `firResample: [${x.shape.join(", ")}] is no [batch, height, width, channels] of at least the filter's size`,
    );
  const { device } = x;
  const y = Tensor.empty(device, [batch, outHeight, outWidth, channels], x.dtype);
  const weights = Array.from({ length: MAX_TAPS }, (_, k) => [`tap${k}`, taps[k] ?? 0]);
  runStream(device, quadsOf(y), {
    kernel,
    variant: {
      format: formatFor("firResample", x),
      aligned: channels % 4 === 0,
      taps: taps.length,
      reflect: edge === "reflect",
    },
    values: {
      size: y.size,
      height,
      width,
      channels,
      out_height: outHeight,
      out_width: outWidth,
      up: up - 1,
      down,
      pad: pad[0],
      ...Object.fromEntries(weights),
    },
    buffers: [x, y],
  });
  return y;
}
