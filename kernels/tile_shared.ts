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
  /** Of a quad. */
  type: "vec4f" | "vec4<f16>";
}

/** Quads from one row to the next: of `shared_a`, which has `height` rows, and of `shared_w`, which has one for each number of a turn. */
export const pitches = ({ step, width, padding }: Sharing): { left: number; right: number } => ({
  left: step + padding.left,
  right: width + padding.right,
});

export const declareShared = (sharing: Sharing): string => `
var<workgroup> shared_a: array<${sharing.type}, ${sharing.height * pitches(sharing).left}>;
var<workgroup> shared_w: array<${sharing.type}, ${4 * sharing.step * pitches(sharing).right}>;
`;

/** Bytes of what declareShared declares. */
export const sharedBytes = (sharing: Sharing): number => {
  const { left, right } = pitches(sharing);
  return (sharing.type === "vec4f" ? 16 : 8) * (sharing.height * left + 4 * sharing.step * right);
};

/**
 * All turns. The text around it declares `local`, the thread's index, `row`, the first row, and `first`, the first quad of
 * columns; `addUp` multiplies and adds what lies in workgroup memory.
 */
export function sharedTurns(product: Product, sharing: Sharing, addUp: string): string {
  const { threads, height, width, step, type } = sharing;
  const pitch = pitches(sharing);
  const left = range((height * step) / threads);
  const right = range((4 * step * width) / threads);
  const rowOf = (i: number): string => `local / ${step}u + ${(threads / step) * i}u`;
  const quadOf = (i: number): string => `(local + ${threads * i}u)`;
  const load = (from: Product): string =>
    lines([
      ...left.map((i) => `left${i} = ${from.load(String(i), `k + local % ${step}u`)};`),
      ...right.map((i) => {
        const column = `min(first + ${quadOf(i)} % ${width}u, columns - 1u)`;
        return `right${i} = ${from.loadColumns(`(${quadOf(i)} / ${width}u)`, column)};`;
      }),
    ]);
  const share = lines([
    ...left.map((i) => `shared_a[(${rowOf(i)}) * ${pitch.left}u + local % ${step}u] = left${i};`),
    ...right.map((i) => `shared_w[${quadOf(i)} / ${width}u * ${pitch.right}u + ${quadOf(i)} % ${width}u] = right${i};`),
  ]);
  const walks = product.walks(left.map(String), step).map(({ begin, turns, next, each = "", others }) => {
    const loaded = `{ ${each}\n${load({ ...product, ...others })} }`;
    return `{
${begin}
${lines([...left.map((i) => `var left${i} = ${type}();`), ...right.map((i) => `var right${i} = ${type}();`)])}
${loaded}
for (var turns = ${turns}; turns > 0u; turns--) {
${share}
workgroupBarrier();
${next}
${loaded}
${addUp}
workgroupBarrier();
} }`;
  });
  return `${lines(left.map((i) => product.setup(String(i), `min(row + ${rowOf(i)}, ${product.rows} - 1u)`)))}
${lines(walks)}`;
}
