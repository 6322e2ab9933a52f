/**
 * Attention in three passes for some of the queries at a time: scores, softmax (softmax.wgsl.ts), weighted sum of the
 * values. For heads too large for the flash kernels' registers (the VAE's 512; on CPU adapters smaller ones,
 * src/tensor/ops/flash_attention.ts). Scores and weights are f32: unscaled scores pass the largest half, and a half's 11 bits are
 * too few for an exponent. Head sizes are multiples of 4. Both products are tiled as tile.ts says, `slot` (image * heads +
 * head) is the workgroup's z.
 *
 * A row of weights has `width` of them (keys rounded up to 4) and then a quad that begins with 1 / their sum.
 */
import { tiledEntry } from "./tile.js";
import { straight, type Product } from "./product.js";
import { enableTile, type TileVariant } from "./tile_parts.js";
import { operandAccess, paramsStruct, tensor, u32s, type Format, type Kernel, type Textures } from "./wgsl.js";

export interface AttentionTile extends TileVariant {
  format: Format;
  fma: boolean;
  textures: Textures;
}

/**
 * `first` is the first query and `count` how many there are; `row_start` and `row_end` count within these. q, k and v may be
 * columns of wider matrices: their tokens lie `…_stride` elements apart, the first at `…_start`, both multiples of 4.
 */
const params = {
  ...u32s("heads", "head_size", "queries", "keys", "width", "first", "count", "row_start", "row_end"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
};

const place = /* wgsl */ `
fn parts() -> u32 { return params.head_size >> 2u; }
fn stride() -> u32 { return params.heads * parts(); }
/** The quad where the head of a slot begins in a token. */
fn head_of(slot: u32) -> u32 { return (slot % params.heads) * parts(); }
/** The token of a query among those of all images. */
fn token_of(slot: u32, row: u32) -> u32 { return (slot / params.heads) * params.queries + params.first + row; }
`;

const scoresProduct: Product = {
  rows: "params.count",
  setup: (name, row) =>
    `  let x${name} = (params.q_start >> 2u) + token_of(slot, ${row}) * (params.q_stride >> 2u) + head_of(slot);`,
  ...straight({
    before: `  let key_step = params.k_stride >> 2u;
  let keys = (params.k_start >> 2u) + (slot / params.heads) * params.keys * key_step + head_of(slot);`,
    from: "0u",
    to: "parts()",
  }),
  load: (name, k) => `load4_x(x${name} + ${k})`,
  transposed: true,
  loadColumns: (r, column) =>
    `load4_w(keys + min(4u * (${column}) + (${r} & 3u), params.keys - 1u) * key_step + k + (${r} >> 2u))`,
  epilogue: () => "",
  at: (row, column) => `(slot * params.count + ${row}) * n4 + ${column}`,
  store: (at, sum) => `store4_y(${at}, ${sum});`,
};

/** y[slot, row, key] = q · k, unscaled. */
export const attentionScores: Kernel<AttentionTile> = {
  name: "attention scores",
  params,
  bindings: ({ textures }) => [...operandAccess(textures), "write"],
  source: (variant) =>
    enableTile(variant.format, variant) +
    paramsStruct(params) +
    tensor(1, "x", operandAccess(variant.textures)[0], variant.format) +
    tensor(2, "w", operandAccess(variant.textures)[1], variant.format) +
    tensor(3, "y", "write", "f32") +
    place +
    tiledEntry(variant, "(params.width >> 2u)", scoresProduct),
};

const valuesProduct: Product = {
  rows: "params.count",
  columns: "parts()",
  setup: (name, row) => `  let x${name} = (slot * params.count + ${row}) * ((params.width >> 2u) + 1u);`,
  ...straight({
    before: `  let value_step = params.v_stride >> 2u;
  let values = (params.v_start >> 2u) + (slot / params.heads) * params.keys * value_step + head_of(slot);`,
    from: "0u",
    to: "(params.width >> 2u)",
  }),
  load: (name, k) => `load4_x(x${name} + ${k})`,
  // Keys past the last have no weight, but what lies there may be no number.
  loadColumns: (r, column) => `load4_w(values + min(4u * k + ${r}, params.keys - 1u) * value_step + ${column})`,
  epilogue: ({ rows, columns, sum, row }) =>
    rows
      .map(
        (i) =>
          `  let inverse${i} = load4_x((slot * params.count + ${row(i)} + 1u) * ((params.width >> 2u) + 1u) - 1u).x;\n` +
          columns.map((j) => `  ${sum(i, j)} *= inverse${i};`).join("\n"),
      )
      .join("\n"),
  at: (row, column) => `token_of(slot, ${row}) * n4 + head_of(slot) + ${column}`,
  store: (at, sum) => `store4_y(${at}, ${sum});`,
};

/** y[image, query, head, :] = Σ over keys of weight · v / Σ of weights. */
export const attentionValues: Kernel<AttentionTile> = {
  name: "attention values",
  params,
  bindings: ({ textures }) => [...operandAccess(textures), "write"],
  source: (variant) =>
    enableTile(variant.format, variant) +
    paramsStruct(params) +
    tensor(1, "x", operandAccess(variant.textures)[0], "f32") +
    tensor(2, "w", operandAccess(variant.textures)[1], variant.format) +
    tensor(3, "y", "write", variant.format) +
    place +
    tiledEntry(variant, "stride()", valuesProduct),
};
