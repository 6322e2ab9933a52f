/** Planes of numbers: pictures, masks, latents. */

/** Pictures in [-1, 1], masks of 0 and 1, or latents. */
export interface Planes {
  /** [batch, channels, height, width], row by row. */
  values: Float32Array;
  shape: readonly [batch: number, channels: number, height: number, width: number];
}

/** torch.nn.functional.interpolate, by the nearest element. @throws RangeError for a size of nothing */
export function nearest({ values, shape }: Planes, height: number, width: number): Planes {
  const [batch, channels, fromHeight, fromWidth] = shape;
  if (height === fromHeight && width === fromWidth) return { values, shape };
  if (height === 0 || width === 0) throw new RangeError(`\`image\` is too small: ${fromWidth}x${fromHeight} pixels`);
  const source = (i: number, from: number, to: number): number =>
    Math.min(Math.floor(Math.fround(i * Math.fround(from / to))), from - 1);
  const result = new Float32Array(batch * channels * height * width);
  let at = 0;
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < height; y++) {
      const row = (plane * fromHeight + source(y, fromHeight, height)) * fromWidth;
      for (let x = 0; x < width; x++) result[at++] = values[row + source(x, fromWidth, width)];
    }
  return { values: result, shape: [batch, channels, height, width] };
}

/** Numbers one after another. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const each of parts) {
    all.set(each, at);
    at += each.length;
  }
  return all;
}

/** The whole batch, `times` after one another. */
export const repeated = ({ values, shape: [count, ...rest] }: Planes, times: number): Planes => ({
  values: joined(new Array<Float32Array>(times).fill(values)),
  shape: [count * times, ...rest],
});
