/**
 * Winograd's minimal filtering of 3x3 convolutions, F(2x2, 3x3): 2x2 pixels of the result from 4x4 of the image by 16 multiplications
 * a channel instead of 36 (Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, section 4.1).
 * Image and weights are brought into another basis, where a convolution is 16 products of matrices, one for each place in it:
 * winograd_input, winograd_weights, winograd_products, winograd_output.wgsl.ts.
 *
 * Of an image doubled in both directions (nearest) the 4x4 pixels are 3x3 different ones, the second line twice. The basis then has
 * nothing in its third place: 9 products instead of 16, a quarter of the multiply-adds of the plain convolution.
 */
import { range } from "./wgsl.js";

/** Places along one axis of the basis. */
export const placesOf = (upsampled: boolean): 3 | 4 => (upsampled ? 3 : 4);

type Line = (upsampled: boolean, line: readonly string[]) => readonly string[];

/** Of one line of an image, 4 pixels, or 3 of the small image. */
export const inputLine: Line = (upsampled, [a, b, c, d]) =>
  upsampled ? [`${a} - ${b}`, b, `${b} - ${c}`] : [`${a} - ${c}`, `${b} + ${c}`, `${c} - ${b}`, `${b} - ${d}`];

/** Of three weights. */
export const weightLine: Line = (upsampled, [a, b, c]) =>
  upsampled ? [a, `${a} + ${b} + ${c}`, c] : [a, `0.5 * (${a} + ${b} + ${c})`, `0.5 * (${a} - ${b} + ${c})`, c];

/** Of the products to two pixels. */
export const outputLine: Line = (upsampled, [a, b, c, d]) =>
  upsampled ? [`${a} + ${b}`, `${b} - ${c}`] : [`${a} + ${b} + ${c}`, `${b} - ${c} - ${d}`];

/** Declares `{to}{row}_{column}` from a square of `side` x `side` values `{from}{row}_{column}`: `line` down the columns, then along rows. */
export function inBothAxes(
  { from, to, side, upsampled }: { from: string; to: string; side: number; upsampled: boolean },
  line: Line,
): string {
  const lines = range(side);
  const down = lines.map((j) =>
    line(
      upsampled,
      lines.map((i) => `${from}${i}_${j}`),
    ),
  );
  const half = down.flatMap((texts, j) => texts.map((text, p) => `  let half_${to}${p}_${j} = ${text};`));
  const whole = range(down[0].length).flatMap((p) =>
    line(
      upsampled,
      lines.map((j) => `half_${to}${p}_${j}`),
    ).map((text, q) => `  let ${to}${p}_${q} = ${text};`),
  );
  return [...half, ...whole].join("\n");
}
