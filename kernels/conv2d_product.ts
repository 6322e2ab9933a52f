/** What conv2d.wgsl.ts says of its product to the tiled kernels: the taps are the outer loops, their channels the inner. */
import { activate } from "./activation.js";
import type { Conv2dVariant } from "./conv2d.wgsl.js";
import { partOf, straight, straightWalk, weightRows, type Operands, type Product } from "./product.js";
import { loadOf } from "./tile_parts.js";

/** A 1x1 convolution of a further tensor: whose channels, and in which row of the weight they begin. */
const shortcutRun = (
  source: string,
  first: string,
  { split, ...tile }: Conv2dVariant,
): Parameters<typeof straightWalk>[0] => ({
  before: `  let part_${source} = ${partOf(`params.cin_${source} >> 2u`, split)};`,
  from: `part_${source}.x`,
  to: `part_${source}.y`,
  each: `let base = ${weightRows(tile).base(`${first} + k * 4u`, "params.cin_shortcut + params.cin_skip")};`,
});

const shortcutOperands = (source: string, tile: Conv2dVariant): Partial<Operands> => ({
  load: (name, k) => `${loadOf(tile)}_${source}(at${name} * (params.cin_${source} >> 2u) + ${k})`,
  loadColumns: weightRows(tile).load(`${loadOf(tile)}_shortcut_w`),
});

/** The further tensors, and the row of the weight where the channels of each begin. */
const sourcesOf = (shortcut: Conv2dVariant["shortcut"]): [source: string, first: string][] =>
  (
    [
      ["shortcut", "0u"],
      ["skip", "params.cin_shortcut"],
    ] as [string, string][]
  ).slice(0, shortcut);

/** Where rows read their pixel under the tap (ky, kx). */
const underTap = (names: readonly string[], by: Conv2dVariant["by"], word: "let" | "var" | ""): string =>
  names
    .map(
      (i) => `      ${word} s${i} = source(p${i}, ky, kx);
      ${word} x${i} = u32(max(s${i}, 0)) * c4;
      ${word} inside${i} = ${by === "matrix" ? `s${i} >= 0` : `vec4f(select(0.0, 1.0, s${i} >= 0))`};`,
    )
    .join("\n");

export const conv2dProduct = (variant: Conv2dVariant): Product => {
  const { by, activation, shift, residual, phases, shortcut, split } = variant;
  const sources = sourcesOf(shortcut);
  const before = `  let c4 = params.cin >> 2u;
  let part = ${partOf("params.cin >> 2u", split)};`;
  const taps = "params.kernel_height * params.kernel_width";
  const tap = `(${phases ? "(slot * params.kernel_height + ky)" : "ky"} * params.kernel_width + kx) * params.cin`;
  const weights = weightRows(variant);
  const base = weights.base("tap + k * 4u", `${phases ? "4u * " : ""}${taps} * params.cin`);
  return {
    rows: "params.m",
    setup: (name, row) =>
      `  let p${name} = ${phases ? `pixel_of_phase(${row}, slot)` : `pixel_of(${row})`};` +
      (shortcut > 0 ? `\n  let at${name} = ${row};` : ""),
    loops: (names, step, body) => `${before}
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
${underTap(names, by, "let")}
      let tap = ${tap};
      for (var k = part.x; k < part.y; k += ${step}u) {
        let base = ${base};
${body()}
      }
    }
  }
${sources.map(([source, first]) => straight(shortcutRun(source, first, variant), shortcutOperands(source, variant)).loops(names, step, body)).join("\n")}`,
    walks: (names, step) => [
      {
        begin: `${before}
  var ky = 0u;
  var kx = 0u;
  var k = part.x;
${underTap(names, by, "var")}`,
        turns: `${taps} * ((part.y - part.x) / ${step}u)`,
        next: `k += ${step}u;
if (k >= part.y) {
  k = part.x;
  kx++;
  if (kx == params.kernel_width) {
    kx = 0u;
    ky = min(ky + 1u, params.kernel_height - 1u);
  }
${underTap(names, by, "")}
}`,
        each: `let tap = ${tap};
let base = ${base};`,
      },
      ...sources.map(([source, first]) =>
        straightWalk(shortcutRun(source, first, variant), step, shortcutOperands(source, variant)),
      ),
    ],
    load: (name, k) =>
      by === "matrix"
        ? `select(vec4<f16>(), half4_x(x${name} + ${k}), inside${name})`
        : `load4_x(x${name} + ${k}) * inside${name}`,
    loadColumns: weights.load(`${loadOf({ by })}_w`),
    at: (row, column) => {
      const place = phases ? `row_of_phase(${row}, slot)` : split ? `(slot * params.m + ${row})` : row;
      return `${place} * n4 + ${column}`;
    },
    epilogue: ({ rows, columns, sum, row, at, column, ofColumns }) => {
      if (split) return "";
      const each = (term: (i: number, j: number) => string): string =>
        rows.flatMap((i) => columns.map((j) => `    ${sum(i, j)} += ${term(i, j)};`)).join("\n");
      const biases = (column: string): string =>
        `load4_bias(${column})${shortcut > 0 ? ` + load4_shortcut_bias(${column})` : ""}`;
      const shiftOf = (image: string, column: string): string =>
        `load4_shift(((params.shift_start + ${image} * params.shift_stride) >> 2u) + ${column})`;
      return [
        ofColumns("bias", biases),
        each((_, j) => `bias${j}`),
        ...(shift === "same"
          ? [ofColumns("shift", (column) => shiftOf("0u", column)), each((_, j) => `shift${j}`)]
          : []),
        ...(shift === "own"
          ? [
              `  let pixels = params.out_width * params.out_height;`,
              each((i, j) => shiftOf(`(${row(i)} / pixels)`, column(j))),
            ]
          : []),
        ...(residual ? [each((i, j) => `load4_residual(${at(i, j)})`)] : []),
      ].join("\n");
    },
    store: (at, sum) => `store4_y(${at}, ${activate(activation, sum)});`,
  };
};
