/** Compares a result with its float64 reference at some elements, as the tests of the kernels do; all must be finite, as it is. */
import { sample, type FloatType, type Reference } from "../test/cases/data.js";

export interface Tolerance {
  /** Of the largest wanted number: errors of sums, which cancel. */
  ofScale: number;
  /** In units of the result. */
  absolute?: number;
}

export interface Checked {
  passed: boolean;
  /** Largest difference, relative to the largest wanted number; absent where one is no number, which JSON could not hold. */
  error?: number;
  elements: number;
  /** The worst element and how many are wrong; only where the check failed. */
  message?: string;
}

/** Distance between 1 and the next float32. */
export const EPSILON = 2 ** -23;
/** Rounding to nearest of the last stored digit, relative to the number. */
const STORAGE: Record<FloatType, number> = { float32: 2 ** -24, float16: 2 ** -11 };
/** Half of the smallest half. */
const SMALLEST: Record<FloatType, number> = { float32: 0, float16: 2 ** -25 };

/** @param most elements to look at */
export function check(
  got: ArrayLike<number>,
  reference: Reference,
  { size, most = 256 }: { size: number; most?: number },
  dtype: FloatType,
  { ofScale, absolute = 0 }: Tolerance,
): Checked {
  if (got.length !== size) return { passed: false, elements: 0, message: `${got.length} elements, want ${size}` };
  const unfinished = firstNotFinite(got, reference);
  if (unfinished >= 0) {
    const message = `not all elements are finite; the first, at ${unfinished}: got ${got[unfinished]}, want ${reference(unfinished)}`;
    return { passed: false, elements: size, message };
  }
  const positions = sample(size, most);
  const wanted = positions.map(reference);
  const scale = wanted.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-30);
  let [error, worst, worstOff, wrong] = [0, 0, -1, 0];
  positions.forEach((position, i) => {
    const off = Math.abs(got[position] - wanted[i]);
    const allowed = ofScale * scale + absolute + SMALLEST[dtype] + STORAGE[dtype] * Math.abs(wanted[i]);
    const share = Number.isNaN(off) ? Infinity : off / scale;
    error = Math.max(error, share);
    if (off <= allowed) return;
    wrong++;
    if (share > worstOff) [worst, worstOff] = [i, share];
  });
  if (wrong === 0) return { passed: true, error, elements: positions.length };
  const at = positions[worst];
  const message = `${wrong} of ${positions.length} elements are wrong; the worst, at ${at}: got ${got[at]}, want ${wanted[worst]}`;
  return { passed: false, error: Number.isFinite(error) ? error : undefined, elements: positions.length, message };
}

/** Where the reference is finite; -1 if there is none. The whole result was read back, so that looking at all of it costs little. */
function firstNotFinite(got: ArrayLike<number>, reference: Reference): number {
  for (let i = 0; i < got.length; i++) if (!Number.isFinite(got[i]) && Number.isFinite(reference(i))) return i;
  return -1;
}
