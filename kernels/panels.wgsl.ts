/**
 * The columns of w[rows, 4·columns] in panels of `width` quads, one behind the other, each row by row; the last may repeat columns of the one before. What a tile of as many
 * columns reads of w then lies in one piece: rows of a whole w are so far apart that those of one turn of its loop fall into the same
 * few lines of a cache (SwiftShader takes up to 1.4 times as long).
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, type BitsFormat, type Kernel } from "./wgsl.js";

export interface PanelsVariant extends StreamVariant {
  format: BitsFormat;
}

/** `columns` and `width` in quads, a panel at least. */
export const panels: Kernel<PanelsVariant> = {
  name: "panels",
  params: { ...STREAM_PARAMS, ...u32s("rows", "columns", "width") },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return `${paramsStruct(this.params)}${tensor(1, "w", "read", format)}${tensor(2, "y", "write", format)}
${overQuads(
  { lanes },
  `  let left = min(panel * params.width, params.columns - params.width);
  store4_y(i, load4_w(row * params.columns + left + c));`,
  { names: ["c", "row", "panel"], lengths: ["params.width", "params.rows"] },
)}`;
  },
};
