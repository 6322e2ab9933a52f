/**
 * Pictures of another size by Lanczos' filter, to the byte as Pillow's Image.resize((width, height), LANCZOS), which diffusers' image
 * processors use: libImaging/Resample.c, eight bits per channel with weights in fixed point. Rows come first, as in Pillow until version
 * 13, which goes by columns first for some sizes and so rounds some bytes otherwise.
 */
const LOBES = 3;
/** Binary places of the weights: 32 bits less 8 of the pixel and 2 for what the filter overshoots. */
const PRECISION = 2 ** 22;

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const lanczos = (x: number): number => (-LOBES <= x && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0);

/** What of a line makes one pixel of the new line. */
interface Window {
  first: number;
  weights: number[];
}

function windows(from: number, to: number): Window[] {
  const scale = from / to;
  // Where pixels get fewer the filter is stretched, so that none is left out.
  const stretch = Math.max(1, scale);
  const reach = LOBES * stretch;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const exact = Array.from({ length: end - first }, (__, j) => lanczos((first + j - center + 0.5) / stretch));
    const sum = exact.reduce((a, b) => a + b, 0);
    return { first, weights: exact.map((w) => Math.trunc((w / sum) * PRECISION + (w < 0 ? -0.5 : 0.5))) };
  });
}

/** @param data [outer, from, inner] @returns [outer, to, inner] */
function resampleAxis(
  data: Uint8ClampedArray,
  from: number,
  to: number,
  inner: number,
): Uint8ClampedArray<ArrayBuffer> {
  const outer = data.length / from / inner;
  const result = new Uint8ClampedArray(outer * to * inner);
  for (const [i, { first, weights }] of windows(from, to).entries())
    for (let o = 0; o < outer; o++)
      for (let c = 0; c < inner; c++) {
        let sum = PRECISION / 2;
        let at = (o * from + first) * inner + c;
        for (const weight of weights) {
          sum += data[at] * weight;
          at += inner;
        }
        result[(o * to + i) * inner + c] = Math.floor(sum / PRECISION);
      }
  return result;
}

/**
 * @param data row by row, `channels` bytes per pixel
 * @returns data of the new size
 */
export function resample(
  data: Uint8ClampedArray,
  [width, height]: readonly [number, number],
  [newWidth, newHeight]: readonly [number, number],
  channels: number,
): Uint8ClampedArray {
  const wide = newWidth === width ? data : resampleAxis(data, width, newWidth, channels);
  return newHeight === height ? wide : resampleAxis(wide, height, newHeight, newWidth * channels);
}
