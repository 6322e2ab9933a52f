/**
 * Attention in three passes for some of the queries at a time: scores, softmax (softmax.wgsl.ts), weighted sum of the
 * values. For CPU adapters, which compile the flash kernel for seconds per head size, and for heads too large for its
 * registers (the VAE's 512). Scores and weights are f32: unscaled scores pass the largest half, and a half's 11 bits are
 * too few for an exponent. Head sizes are multiples of 4. Both products are tiled as tile.ts says, `slot` (image * heads +
 * head) is the workgroup's z.
 *
 * A row of weights has `width` of them (keys rounded up to 4) and then a quad that begins with 1 / their sum.
 */
import { tiledEntry, type Product, type TileVariant } from "./tile.js";
import {
  enable,
  linearWorkgroup,
  multiplyAdd,
  operandAccess,
  paramsStruct,
  range,
  tensor,
  u32s,
  wgsl,
  type Format,
  type Kernel,
  type Textures,
} from "./wgsl.js";

export interface AttentionTile extends TileVariant {
  format: Format;
  fma: boolean;
  textures: Textures;
}

/** `first` is the first query and `count` how many there are; `row_start` and `row_end` count within these. */
const params = u32s("heads", "head_size", "queries", "keys", "width", "first", "count", "row_start", "row_end");

const place = /* wgsl */ `
fn parts() -> u32 { return params.head_size >> 2u; }
fn stride() -> u32 { return params.heads * parts(); }
/** The quad where the head of a slot begins in a token. */
fn head_of(slot: u32) -> u32 { return (slot % params.heads) * parts(); }
/** The quad where a query's head begins. */
fn query_of(slot: u32, row: u32) -> u32 { return ((slot / params.heads) * params.queries + params.first + row) * stride() + head_of(slot); }
`;

/**
 * y[slot, row, key] = q · k, unscaled. A thread holds tileM rows (of its lane, with `broadcast`: see tile.ts) by 4·tileN4 keys and
 * loads a quad of each key at a time: k lies along the head, not across keys as the right operand of a matmul does.
 */
export const attentionScores: Kernel<AttentionTile> = {
  name: "attention scores",
  params,
  bindings: ({ textures }) => [
    textures === "none" ? "read" : "texture",
    textures === "none" ? "read" : "texture",
    "write",
  ],
  source({ format, fma, by, tileM, tileN4, lanes, textures }) {
    const mad = multiplyAdd(fma);
    const broadcast = by === "broadcast";
    const across = broadcast ? lanes : 1;
    const rows = range(tileM * across);
    const keys = range(4 * tileN4);
    const access = textures === "none" ? "read" : "texture";
    const add = (i: number, quad: string): string =>
      keys
        .map(
          (b) =>
            `s${i}_${b} = ${range(4).reduce((sum, r) => mad(`${quad}[${r}]`, `key${b}[${r}]`, sum), `s${i}_${b}`)};`,
        )
        .join("\n");
    const query = (i: number): string =>
      broadcast
        ? `{ let own = load4_q(q${i} + i);\n${range(lanes)
            .map((lane) => `{ let a = subgroupBroadcast(own, ${lane}u);\n${add(i * lanes + lane, "a")} }`)
            .join("\n")} }`
        : `{ let a = load4_q(q${i} + i);\n${add(i, "a")} }`;
    // A thread's quads of keys lie apart by the workgroup's width, so that neighbours store side by side.
    const threads = broadcast ? lanes : 32;
    return wgsl`${enable(format, broadcast)}${paramsStruct(params)}
${tensor(1, "q", access, format)}${tensor(2, "k", access, format)}${tensor(3, "y", "write", "f32")}${place}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, ${broadcast ? "@builtin(subgroup_invocation_id) lane: u32" : "@builtin(local_invocation_index) lane: u32"}) {
  let slot = workgroup.z;
  let quads = params.width >> 2u;
  let tile = ${linearWorkgroup}${broadcast ? "" : ` * ${threads}u + lane`};
  let down = (params.row_end - params.row_start + ${rows.length - 1}u) / ${rows.length}u;
  let row = params.row_start + (tile % down) * ${rows.length}u;
  let column = (tile / down) * ${tileN4 * across}u${broadcast ? " + lane" : ""};
  let base = (slot / params.heads) * params.keys * stride() + head_of(slot);
${broadcast ? "" : "  if (column >= quads) { return; }"}
${range(tileN4)
  .map((j) => `  let quad${j} = min(column + ${j * across}u, quads - 1u);`)
  .join("\n")}
${keys.map((b) => `  let k${b} = base + min(4u * quad${b >> 2} + ${b & 3}u, params.keys - 1u) * stride();`).join("\n")}
${range(tileM)
  .map(
    (i) => `  let q${i} = query_of(slot, min(row + ${i * across}u${broadcast ? " + lane" : ""}, params.count - 1u));`,
  )
  .join("\n")}
${rows.map((i) => keys.map((b) => `  var s${i}_${b} = 0.0;`).join("\n")).join("\n")}
  for (var i = 0u; i < parts(); i++) {
${keys.map((b) => `    let key${b} = load4_k(k${b} + i);`).join("\n")}
${range(tileM).map(query).join("\n")}
  }
${rows
  .map((i) =>
    range(tileN4)
      .map(
        (j) =>
          `  store4_y((slot * params.count + min(row + ${i}u, params.row_end - 1u)) * quads + quad${j}, vec4f(${range(4)
            .map((b) => `s${i}_${4 * j + b}`)
            .join(", ")}));`,
      )
      .join("\n"),
  )
  .join("\n")}
}`;
  },
};

const valuesProduct: Product = {
  rows: "params.count",
  columns: "parts()",
  setup: (name, row) => `  let x${name} = (slot * params.count + ${row}) * ((params.width >> 2u) + 1u);`,
  loops: (_names, step, body) => `  let values = (slot / params.heads) * params.keys * n4 + head_of(slot);
  for (var k = 0u; k < (params.width >> 2u); k += ${step}u) {
${body({
  load: (name, k) => `load4_x(x${name} + ${k})`,
  // Keys past the last have no weight, but what lies there may be no number.
  loadColumns: (r, column) => `load4_w(values + min(4u * k + ${r}, params.keys - 1u) * n4 + ${column})`,
})}
  }`,
  epilogue: ({ rows, columns, sum, row }) =>
    rows
      .map(
        (i) =>
          `  let inverse${i} = load4_x((slot * params.count + ${row(i)} + 1u) * ((params.width >> 2u) + 1u) - 1u).x;\n` +
          columns.map((j) => `  ${sum(i, j)} *= inverse${i};`).join("\n"),
      )
      .join("\n"),
  at: (row, column) => `query_of(slot, ${row}) + ${column}`,
  store: (at, sum) => `store4_y(${at}, ${sum});`,
};

/** y[image, query, head, :] = Σ over keys of weight · v / Σ of weights. */
export const attentionValues: Kernel<AttentionTile> = {
  name: "attention values",
  params,
  bindings: ({ textures }) => [...operandAccess(textures), "write"],
  source: (variant) =>
    enable(variant.format, variant.by === "broadcast") +
    paramsStruct(params) +
    tensor(1, "x", operandAccess(variant.textures)[0], "f32") +
    tensor(2, "w", operandAccess(variant.textures)[1], variant.format) +
    tensor(3, "y", "write", variant.format) +
    place +
    tiledEntry(variant, "stride()", valuesProduct),
};
