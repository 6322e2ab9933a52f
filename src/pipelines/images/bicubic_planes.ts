/** torch.nn.functional.interpolate(mode="bicubic"), on the CPU: maps of depth are small. */
import type { Planes } from "./planes.js";

/** Keys' cubic convolution with a = -0.75: weights of the pixels before, at, after and behind a place between the middle two. */
function weights(t: number): readonly [number, number, number, number] {
  const a = -0.75;
  const near = (x: number): number => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number): number => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** What of a line makes each pixel of the new line: four pixels, at the edge some of them more than once. */
const taps = (from: number, to: number): { weights: readonly number[]; at: readonly number[] }[] =>
  Array.from({ length: to }, (_, i) => {
    const place = Math.fround(from / to) * (i + 0.5) - 0.5;
    const first = Math.floor(place) - 1;
    const at = [0, 1, 2, 3].map((k) => Math.min(Math.max(first + k, 0), from - 1));
    return { weights: weights(place - Math.floor(place)), at };
  });

/** Planes of another size; between the centres of pixels, without antialiasing. */
export function bicubicPlanes({ values, shape }: Planes, height: number, width: number): Planes {
  const [batch, channels, fromHeight, fromWidth] = shape;
  const [rows, columns] = [taps(fromHeight, height), taps(fromWidth, width)];
  const result = new Float32Array(batch * channels * height * width);
  let to = 0;
  for (let plane = 0; plane < batch * channels; plane++)
    for (const row of rows)
      for (const column of columns) {
        let sum = 0;
        row.at.forEach((y, j) => {
          const line = (plane * fromHeight + y) * fromWidth;
          column.at.forEach((x, k) => (sum += row.weights[j] * column.weights[k] * values[line + x]));
        });
        result[to++] = sum;
      }
  return { values: result, shape: [batch, channels, height, width] };
}
