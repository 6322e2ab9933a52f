/** Helpers shared by the launchers. */
import { THREADS, type Format } from "../../../kernels/wgsl.js";
import { placeOf, type Operand, type Place } from "../columns.js";
import type { Device } from "../device.js";
import { formatOf } from "../dtype.js";
import type { Tensor } from "../tensor.js";

/** The kernel format of `x`, checking that every other tensor has the same dtype and device. */
export function formatFor(op: string, x: Tensor, ...others: (Tensor | null | undefined)[]): Format {
  for (const other of others) {
    if (!other) continue;
    if (other.dtype !== x.dtype) throw new TypeError(`${op}: the dtypes differ, got ${String(x)} and ${String(other)}`);
    if (other.device !== x.device) throw new Error(`${op}: the tensors are on different devices`);
  }
  return formatOf(x.dtype, x.device, op);
}

/** Workgroups that a dimension of a grid holds at most, by WebGPU's defaults. */
export const MOST_WORKGROUPS = 65535;

/** A grid of `count` workgroups folded over y, because a dimension holds at most so many. */
export function foldedGrid(count: number): [number, number] {
  if (count === 0) return [0, 0];
  const x = Math.min(count, MOST_WORKGROUPS);
  return [x, Math.ceil(count / x)];
}

/** The grid of `count` threads of a kernel that numbers them. */
export const threadGrid = (count: number): [number, number] => foldedGrid(Math.ceil(count / THREADS));

/** The largest number that divides all. */
export const commonDivisor = (...numbers: readonly number[]): number =>
  numbers.reduce((a, b) => (b === 0 ? a : commonDivisor(b, a % b)));

export const quadsOf = ({ size }: Pick<Tensor, "size">): number => Math.ceil(size / 4);

export function sameShape(op: string, x: Tensor, y: Tensor): void {
  if (x.shape.length !== y.shape.length || x.shape.some((n, i) => n !== y.shape[i]))
    throw new RangeError(`${op}: the shapes differ, got [${x.shape.join(", ")}] and [${y.shape.join(", ")}]`);
}

export function expectShape(op: string, what: string, x: Operand, shape: readonly number[]): void {
  if (x.shape.length !== shape.length || x.shape.some((n, i) => n !== shape[i]))
    throw new RangeError(`${op}: ${what} must be [${shape.join(", ")}], got [${x.shape.join(", ")}]`);
}

/** Where an operand of a row per image lies; with a single row, which all images then share, it is 0 elements to the next. */
export function rowPlace(
  op: string,
  what: string,
  x: Operand,
  [batch, width]: readonly [batch: number, width: number],
): Place {
  const place = placeOf(x);
  if (batch !== 1 && x.shape.length === 2 && x.shape[0] === 1 && x.shape[1] === width) return { ...place, stride: 0 };
  expectShape(op, what, x, [batch, width]);
  return place;
}

/**
 * Splits `rows` into runs that each stay within the device's budget of operations, and multiples of `unit`, of as many rows each:
 * a dispatch that runs for seconds is reset by the operating system.
 * @param limit rows that one dispatch can take
 */
export function* rowRuns(
  device: Device,
  rows: number,
  flopsPerRow: number,
  unit: number,
  limit = Infinity,
): Generator<[start: number, count: number]> {
  const units = Math.ceil(rows / unit);
  const fit = Math.min(limit, device.flopsBudget / Math.max(1, flopsPerRow));
  const runs = Math.ceil(units / Math.max(1, Math.floor(fit / unit)));
  const each = Math.ceil(units / runs) * unit;
  for (let start = 0; start < rows; start += each) yield [start, Math.min(each, rows - start)];
}
