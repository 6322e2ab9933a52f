/**
 * The operands of a product in workgroup memory, a turn of the inner axis at a time: while one is added up, those of the next are
 * on their way from memory to registers.
 */
import type { Product } from "./product.js";
import { lines } from "./tile_parts.js";
import { range } from "./wgsl.js";

export interface Sharing {
  threads: number;
  /** Rows, and quads of columns, of a workgroup. */
  height: number;
  width: number;
  /** Quads of the inner axis in a turn. */
  step: number;
  /** Quads behind each row of the operands: without them, rows begin in the same banks of workgroup memory. */
  padding: { left: number; right: number };
  /** Turns that lie there at a time. */
  buffers: 1 | 2;
  /** Of a quad. */
  type: "vec4f" | "vec4<f16>";
}

/** Quads from one row to the next: of `shared_a`, which has `height` rows, and of `shared_w`, which has one for each number of a turn. */
export const pitches = ({ step, width, padding }: Sharing): { left: number; right: number } => ({
  left: step + padding.left,
  right: width + padding.right,
});

/** Where a turn begins in `shared_a` and `shared_w`, in quads: text. */
export interface Place {
  left: string;
  right: string;
}

/** Quads of a turn in each. */
const quadsOfTurn = (sharing: Sharing): { left: number; right: number } => ({
  left: sharing.height * pitches(sharing).left,
  right: 4 * sharing.step * pitches(sharing).right,
});

export const declareShared = (sharing: Sharing): string => `
var<workgroup> shared_a: array<${sharing.type}, ${sharing.buffers * quadsOfTurn(sharing).left}>;
var<workgroup> shared_w: array<${sharing.type}, ${sharing.buffers * quadsOfTurn(sharing).right}>;
`;

/** Bytes of what declareShared declares. */
export const sharedBytes = (sharing: Sharing): number => {
  const { left, right } = quadsOfTurn(sharing);
  return (sharing.type === "vec4f" ? 16 : 8) * sharing.buffers * (left + right);
};

/**
 * All turns. The text around it declares `local`, the thread's index, `row`, the first row, and `first`, the first quad of
 * columns; `addUp` multiplies and adds the turn that lies at a place in workgroup memory. `unrolled`: the turns of two buffers are
 * two texts, with places that are known; else one text, in half of the time to compile.
 */
export function sharedTurns(
  product: Product,
  sharing: Sharing,
  addUp: (place: Place) => string,
  unrolled = true,
): string {
  const { threads, height, width, step, type, buffers } = sharing;
  const pitch = pitches(sharing);
  const size = quadsOfTurn(sharing);
  const left = range(Math.ceil((height * step) / threads));
  const right = range(Math.ceil((4 * step * width) / threads));
  const rowOf = (i: number): string => `local / ${step}u + ${(threads / step) * i}u`;
  const quadOf = (i: number): string => `(local + ${threads * i}u)`;
  // Where threads do not divide the quads, some of the last load one in vain.
  const whole = (quads: number, i: number): boolean => threads * (i + 1) <= quads;
  const guarded = (quads: number, i: number, text: string): string =>
    whole(quads, i) ? text : `if (${quadOf(i)} < ${quads}u) { ${text} }`;
  const load = (from: Product): string =>
    lines([
      ...left.map((i) => `left${i} = ${from.load(String(i), `k + local % ${step}u`)};`),
      ...right.map((i) => {
        const column = `min(first + ${quadOf(i)} % ${width}u, columns - 1u)`;
        const row = `${quadOf(i)} / ${width}u`;
        const inside = whole(4 * step * width, i) ? `(${row})` : `min(${row}, ${4 * step - 1}u)`;
        return `right${i} = ${from.loadColumns(inside, column)};`;
      }),
    ]);
  const share = (place: Place): string =>
    lines([
      ...left.map((i) => {
        const at = `${place.left} + (${rowOf(i)}) * ${pitch.left}u + local % ${step}u`;
        return guarded(height * step, i, `shared_a[${at}] = left${i};`);
      }),
      ...right.map((i) => {
        const at = `${place.right} + ${quadOf(i)} / ${width}u * ${pitch.right}u + ${quadOf(i)} % ${width}u`;
        return guarded(4 * step * width, i, `shared_w[${at}] = right${i};`);
      }),
    ]);
  const placeOf = (buffer: string): Place => ({
    left: `${buffer} * ${size.left}u`,
    right: `${buffer} * ${size.right}u`,
  });
  const [first, second] = [placeOf("0u"), placeOf("1u")];
  const barrier = "workgroupBarrier();";
  const walks = product.walks(left.map(String), step).map(({ begin, turns, next, each = "", others }) => {
    const loaded = `{ ${each}\n${load({ ...product, ...others })} }`;
    const turn = (place: Place, other: Place): string => lines([barrier, next, loaded, addUp(place), share(other)]);
    const inTurns = unrolled
      ? `${turn(first, second)}
turns--;
if (turns == 0u) { break; }
${turn(second, first)}`
      : `${turn(placeOf("buffer"), placeOf("(1u - buffer)"))}
buffer = 1u - buffer;`;
    const loop = buffers === 1 ? lines([share(first), barrier, next, loaded, addUp(first), barrier]) : inTurns;
    return `{
${begin}
${lines([...left.map((i) => `var left${i} = ${type}();`), ...right.map((i) => `var right${i} = ${type}();`)])}
${loaded}
${buffers > 1 ? share(first) : ""}
${buffers > 1 && !unrolled ? "var buffer = 0u;" : ""}
for (var turns = ${turns}; turns > 0u; turns--) {
${loop}
}
${buffers > 1 ? barrier : ""}
}`;
  });
  return `${lines(left.map((i) => product.setup(String(i), `min(row + ${rowOf(i)}, ${product.rows} - 1u)`)))}
${lines(walks)}`;
}
