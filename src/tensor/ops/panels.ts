import { panels as kernel } from "../../../kernels/panels.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import { quadsAcross } from "../../../kernels/tile_parts.js";
import { formatOf } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { Reordered } from "../reordered.js";
import { runStream } from "./streams.js";
import { tileVariant, type Tile } from "./tiling.js";

/** w as a tile reads it: in panels (kernels/panels.wgsl.ts), or as it is. The last axis of w are the columns. */
export function weightsOf(w: Tensor, tile: Tile): Tensor | Reordered {
  const { panels, ...variant } = tileVariant(w.device, tile);
  return panels ? inPanels(w, quadsAcross(variant)) : w;
}

/**
 * The columns of w [..., N] in panels.
 * @param width quads of a panel, of at most N
 */
export function inPanels(w: Tensor, width: number): Reordered {
  const n = w.shape.at(-1)!;
  const columns = n / 4;
  if (columns < width || n % 4 !== 0)
    throw new RangeError(`panels: takes quads of columns, ${width} at least, got [${w.shape.join(", ")}]`);
  return new Reordered(w, `panels of ${width}`, (device) => {
    const rows = w.size / n;
    const y = Tensor.empty(device, [Math.ceil(columns / width), rows, 4 * width], w.dtype);
    runStream(device, y.size / 4, {
      kernel,
      variant: { format: bitsOf(formatOf(w.dtype, device, "panels")) },
      values: { rows, columns, width },
      buffers: [w, y],
    });
    return y;
  });
}
