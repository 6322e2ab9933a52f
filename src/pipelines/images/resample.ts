/**
 * Pictures of another size, to the byte as Pillow's Image.resize((width, height), LANCZOS), which diffusers' image processors use, or
 * BICUBIC, as CLIP's, or BILINEAR: libImaging/Resample.c, eight bits per channel with weights in fixed point. Rows come first, as in Pillow until
 * version 13, which goes by columns first for some sizes and so rounds some bytes otherwise.
 */
/** Binary places of the weights: 32 bits less 8 of the pixel and 2 for what the filter overshoots. */
const PRECISION = 2 ** 22;

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** A filter and how far it reaches. */
interface Filter {
  readonly reach: number;
  weight(x: number): number;
}
const LANCZOS: Filter = {
  reach: 3,
  weight: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0),
};
/** Keys' cubic convolution, a = -0.5. */
const BICUBIC: Filter = {
  reach: 2,
  weight(signed) {
    const x = Math.abs(signed);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};

const BILINEAR: Filter = { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

const FILTERS = { lanczos: LANCZOS, bilinear: BILINEAR, bicubic: BICUBIC };
export type FilterName = keyof typeof FILTERS;

/** What of a line makes one pixel of the new line. */
interface Window {
  first: number;
  weights: number[];
}

/** @param part of the line that the new line shows; of no length, it is one edge drawn out */
function windows(
  from: number,
  to: number,
  filter: Filter,
  [start, end]: readonly [number, number] = [0, from],
): Window[] {
  const scale = (end - start) / to;
  // Where pixels get fewer the filter is stretched, so that none is left out.
  const stretch = Math.max(1, scale);
  const reach = filter.reach * stretch;
  return Array.from({ length: to }, (_, i) => {
    const center = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(from, Math.trunc(center + reach + 0.5));
    const exact = Array.from({ length: last - first }, (__, j) => filter.weight((first + j - center + 0.5) / stretch));
    const sum = exact.reduce((a, b) => a + b, 0);
    return { first, weights: exact.map((w) => Math.trunc((w / sum) * PRECISION + (w < 0 ? -0.5 : 0.5))) };
  });
}

/** @param data [outer, from, inner] @returns [outer, as many as windows, inner] */
function resampleAxis(
  data: Uint8ClampedArray,
  from: number,
  inner: number,
  taken: readonly Window[],
): Uint8ClampedArray<ArrayBuffer> {
  const outer = data.length / from / inner;
  const to = taken.length;
  const result = new Uint8ClampedArray(outer * to * inner);
  for (const [i, { first, weights }] of taken.entries())
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
  by: FilterName = "lanczos",
): Uint8ClampedArray {
  const filter = FILTERS[by];
  const wide = newWidth === width ? data : resampleAxis(data, width, channels, windows(width, newWidth, filter));
  if (newHeight === height) return wide;
  return resampleAxis(wide, height, newWidth * channels, windows(height, newHeight, filter));
}

/**
 * One edge of a picture drawn out, as Pillow's resize() with a box of no width: what diffusers fills the rest of a frame with.
 * @param data [outer, from, inner]: for an edge above or below, outer is 1 and inner a row; beside, outer is the rows and inner a pixel
 * @returns [outer, count, inner]
 */
export function drawnOut(
  data: Uint8ClampedArray,
  from: number,
  inner: number,
  { edge, count }: { edge: "first" | "last"; count: number },
): Uint8ClampedArray {
  const at = edge === "first" ? 0 : from;
  return resampleAxis(data, from, inner, windows(from, count, BICUBIC, [at, at]));
}
