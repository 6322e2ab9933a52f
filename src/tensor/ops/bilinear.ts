import { bilinear as kernel } from "../../../kernels/bilinear.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { equalParts } from "./equal_parts.js";
import { runStream } from "./streams.js";

export interface BilinearOptions {
  /** torch's align_corners: the corners of both images lie on each other, instead of their edges. */
  corners?: boolean;
}

/**
 * torch.nn.functional.interpolate(mode="bilinear") on NHWC, without antialiasing.
 * @param x [batch, height, width, channels]
 * @param size of the result
 */
export function bilinear(
  x: Tensor,
  [outHeight, outWidth]: readonly [height: number, width: number],
  { corners = false }: BilinearOptions = {},
): Tensor {
  const [batch, height, width, channels] = x.shape;
  if (x.shape.length !== 4 || outHeight < 1 || outWidth < 1)
    throw new RangeError(
      `bilinear: takes [batch, height, width, channels] and a size of pixels, got [${x.shape.join(", ")}] and ${outHeight} x ${outWidth}`,
    );
  const scale = (from: number, to: number): number => (corners ? (to > 1 ? (from - 1) / (to - 1) : 0) : from / to);
  const y = Tensor.empty(x.device, [batch, outHeight, outWidth, channels], x.dtype);
  for (const part of equalParts([x, y], 1, batch)) {
    const to = part(y);
    runStream(x.device, quadsOf(to), {
      kernel,
      variant: { format: formatFor("bilinear", x), aligned: channels % 4 === 0, corners },
      values: {
        size: to.size,
        height,
        width,
        channels,
        out_height: outHeight,
        out_width: outWidth,
        scale_y: Math.fround(scale(height, outHeight)),
        scale_x: Math.fround(scale(width, outWidth)),
      },
      buffers: [part(x), to],
      accesses: 5,
    });
  }
  return y;
}
