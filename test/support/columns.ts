/** Operands as columns of a wider matrix, with a quad of NaN before, between and after them: who reads it, shows it. */
import { Columns } from "../../src/tensor/columns.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { FloatType } from "../cases/data.js";

/** @param shape of each part, [rows …, width]; @param make as of `withTensors` */
export function sideBySide(
  parts: readonly Float32Array[],
  shape: readonly number[],
  dtype: FloatType,
  make: (values: Float32Array, shape: readonly number[], dtype: FloatType) => Tensor,
): Columns[] {
  const count = shape[shape.length - 1];
  const rows = parts[0].length / count;
  const width = 4 + parts.length * (count + 4);
  const values = new Float32Array(rows * width).fill(NaN);
  const starts = parts.map((_, i) => 4 + i * (count + 4));
  parts.forEach((part, i) => {
    for (let row = 0; row < rows; row++)
      values.set(part.subarray(row * count, (row + 1) * count), row * width + starts[i]);
  });
  const whole = make(values, [...shape.slice(0, -1), width], dtype);
  return starts.map((start) => new Columns(whole, start, count));
}
