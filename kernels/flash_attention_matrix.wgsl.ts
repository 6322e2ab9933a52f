/**
 * flash_attention.wgsl.ts for GPUs with matrix units (WebGPU's coming subgroup matrices, see tile_matrix.ts): halves, sums in f32.
 *
 * A subgroup has `blocks` · m queries of a head; all subgroups of a workgroup share tiles of `keys` keys and values in workgroup
 * memory, padded with zeros to whole matrices. Single elements of a matrix are out of reach, so scores go through workgroup memory
 * to the threads (lanes / m of them to a row), and come back as weights, which are halves. The result stays in matrices:
 * the row's maximum that weights refer to is only raised, and the result rescaled through memory, when a score of the tile is
 * past it by more than SLACK; a weight is then at most 2^SLACK, far from a half's largest number.
 */
import { fetcher, flashParams as params, standing, visible } from "./attention_parts.js";
import { enableTile, lines, type MatrixShape } from "./tile_parts.js";
import { paramsStruct, range, tensor, type Kernel } from "./wgsl.js";

export interface FlashMatrixTile {
  subgroups: number;
  /** Matrices along the queries of a subgroup. */
  blocks: number;
  /** Keys of a turn: a multiple of the matrices' n and k, and of 4 · lanes / m. */
  keys: number;
}

export interface FlashMatrixVariant extends FlashMatrixTile {
  headSize: number;
  matrix: MatrixShape;
  lanes: number;
}

const SLACK = 8;
/** Quads behind each row in workgroup memory: without them, rows begin in the same banks. */
const PADDING = 2;

/** What follows from a tile: threads of a workgroup, its queries, the padded head, distances of rows and bytes in workgroup memory. */
export function flashMatrixSizes({ subgroups, blocks, keys, headSize, matrix, lanes }: FlashMatrixVariant) {
  const rows = blocks * matrix.m;
  const queries = subgroups * rows;
  const multiple = Math.max(matrix.n, matrix.k);
  const padded = Math.ceil(headSize / multiple) * multiple;
  const headPitch = padded / 4 + PADDING;
  const keyPitch = keys / 4 + PADDING;
  // q and, when it is in registers, the weights.
  const left = queries * Math.max(headPitch, keyPitch);
  const bytes = 8 * (2 * keys * headPitch + left) + 16 * queries * keyPitch + 4;
  return { threads: subgroups * lanes, rows, queries, padded, headPitch, keyPitch, left, bytes };
}

const source = (variant: FlashMatrixVariant): string => {
  const { keys, headSize, lanes } = variant;
  const { m, n, k } = variant.matrix;
  const { threads, rows, queries, padded, headPitch, keyPitch, left } = flashMatrixSizes(variant);
  const parts = headSize / 4;
  const perRow = lanes / m;
  const blocks = range(variant.blocks);
  const inner = range(padded / k);
  const columns = range(padded / n);
  const loads = range(Math.ceil((keys * parts) / threads));
  const quads = range(keys / 4 / perRow);
  // The result passes through the memory of the scores, as many matrices at a time as are in a row of them.
  const width = keys / n;
  const chunks = range(Math.ceil(columns.length / width)).map((c) => columns.slice(c * width, (c + 1) * width));
  const each = (text: (i: number) => string): string => lines(blocks.map(text));
  const load = (kind: string, from: string, at: string, pitch: number, order = "row_major"): string =>
    `subgroupMatrixLoad<subgroup_matrix_${kind}, ${order}>(&${from}, ${at}, ${pitch}u)`;
  const leftMatrix = `left<f16, ${k}, ${m}>`;
  const rightMatrix = `right<f16, ${n}, ${k}>`;
  const resultMatrix = `result<f32, ${n}, ${m}>`;
  const fetch = (name: "k" | "v", base: string): string =>
    lines(loads.map((i) => `    ${name}_ahead${i} = fetch_${name}(${name}_at, ${base}, local + ${threads * i}u);`));
  const place = (name: "k" | "v"): string =>
    lines(
      loads.map((i) => {
        const slot = `local + ${threads * i}u`;
        const inside = threads * (i + 1) <= keys * parts ? "" : `if (${slot} < ${keys * parts}u) `;
        return `    ${inside}{ shared_${name}[place(${slot})] = ${name}_ahead${i}; }`;
      }),
    );
  const shuffled = (name: string, join: (a: string, b: string) => string): string =>
    lines(
      range(Math.log2(perRow)).map(
        (bit) => `    ${name} = ${join(name, `subgroupShuffleXor(${name}, ${2 ** bit}u)`)};`,
      ),
    );
  const storeResult = (chunk: number[]): string =>
    each((i) =>
      lines(
        chunk.map(
          (j, at) =>
            `subgroupMatrixStore<row_major>(&shared_scores, (own + ${i * m}u) * ${keyPitch}u + ${(at * n) / 4}u, o${i}_${j}, ${keyPitch}u);`,
        ),
      ),
    );
  const loadResult = (chunk: number[]): string =>
    each((i) =>
      lines(
        chunk.map(
          (j, at) =>
            `o${i}_${j} = ${load(resultMatrix, "shared_scores", `(own + ${i * m}u) * ${keyPitch}u + ${(at * n) / 4}u`, keyPitch)};`,
        ),
      ),
    );
  return `${enableTile("f16", { by: "matrix" })}${paramsStruct(params)}
${tensor(1, "q", "read", "f16")}${tensor(2, "k", "read", "f16")}${tensor(3, "v", "read", "f16")}${tensor(4, "y", "write", "f16")}
var<workgroup> shared_k: array<vec4<f16>, ${keys * headPitch}>;
var<workgroup> shared_v: array<vec4<f16>, ${keys * headPitch}>;
/** Left operands: q in the beginning, then weights. */
var<workgroup> shared_left: array<vec4<f16>, ${left}>;
var<workgroup> shared_scores: array<vec4f, ${queries * keyPitch}>;
var<workgroup> shared_raise: u32;

const NONE = -1e30;
${visible}/** Where quad \`slot\` of a tile lies in workgroup memory. Quads that pad a head are never written: they are 0. */
fn place(slot: u32) -> u32 { return slot / ${parts}u * ${headPitch}u + slot % ${parts}u; }
fn largest(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn sum(v: vec4f) -> f32 { return v.x + v.y + v.z + v.w; }
${fetcher("k", parts, "vec4<f16>")}${fetcher("v", parts, "vec4<f16>")}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % ${lanes}u;
  // First row of this subgroup, and the row and the quad of it where this thread begins.
  let own = local / ${lanes}u * ${rows}u;
  let row = own + lane / ${perRow}u;
  let begin = row * ${keyPitch}u + lane % ${perRow}u;
${standing(parts, queries)}
  let factor = params.scale * ${Math.LOG2E};
  for (var slot = local; slot < ${queries * parts}u; slot += ${threads}u) {
    let query = min(first + slot / ${parts}u, params.end - 1u);
    shared_left[place(slot)] = half4_q(q_at + query * (params.q_stride >> 2u) + slot % ${parts}u);
  }
${lines(loads.map((i) => `  var k_ahead${i} = vec4<f16>(); var v_ahead${i} = vec4<f16>();`))}
${fetch("k", "0u")}
${fetch("v", "0u")}
  workgroupBarrier();
${each((i) => lines(inner.map((z) => `  let q${i}_${z} = ${load(leftMatrix, "shared_left", `(own + ${i * m}u) * ${headPitch}u + ${(z * k) / 4}u`, headPitch)};`)))}
${each((i) => lines(columns.map((j) => `  var o${i}_${j}: subgroup_matrix_${resultMatrix};`)))}
${each((i) => `  var top${i} = NONE; var total${i} = 0.0;`)}
  // Up to here every query of the tile sees all keys, and from there on none sees any.
  let full = visible(first);
  let last = visible(first + ${queries - 1}u);
  for (var base = 0u; base < last; base += ${keys}u) {
${place("k")}
${place("v")}
    workgroupBarrier();
${fetch("k", `base + ${keys}u`)}
${fetch("v", `base + ${keys}u`)}
    // Zero by its constructor: declared without, the sums of the turn before are still in it (Dawn on Mesa 26).
    for (var key = 0u; key < ${keys}u; key += ${n}u) {
${each((i) => `      var s${i} = subgroup_matrix_${resultMatrix}();`)}
${lines(inner.map((z) => `      { let k_part = ${load(rightMatrix, "shared_k", `key * ${headPitch}u + ${(z * k) / 4}u`, headPitch, "col_major")};\n${each((i) => `        s${i} = subgroupMatrixMultiplyAccumulate(q${i}_${z}, k_part, s${i});`)} }`))}
${each((i) => `      subgroupMatrixStore<row_major>(&shared_scores, (own + ${i * m}u) * ${keyPitch}u + key / 4u, s${i}, ${keyPitch}u);`)}
    }
    workgroupBarrier();
${each((i) => lines(quads.map((c) => `    var s${i}_${c} = shared_scores[begin + ${i * m * keyPitch + perRow * c}u] * factor;`)))}
    if (base + ${keys}u > full) {
${each((i) => `      let visible${i} = visible(first + row + ${i * m}u);\n${lines(quads.map((c) => `      s${i}_${c} = select(vec4f(NONE), s${i}_${c}, base + 4u * (lane % ${perRow}u + ${perRow * c}u) + vec4u(0u, 1u, 2u, 3u) < vec4u(visible${i}));`))}`)}
    }
${each((i) => `    var most${i} = largest(${quads.slice(1).reduce((most, c) => `max(${most}, s${i}_${c})`, `s${i}_0`)});\n${shuffled(`most${i}`, (a, b) => `max(${a}, ${b})`)}`)}
    if (${blocks.map((i) => `most${i} > top${i} + ${SLACK}.0`).join(" || ")}) { shared_raise = 1u; }
    if (workgroupUniformLoad(&shared_raise) != 0u) {
      if (local == 0u) { shared_raise = 0u; }
${each((i) => `      let next${i} = max(top${i}, most${i}); let keep${i} = exp2(top${i} - next${i}); top${i} = next${i}; total${i} *= keep${i};`)}
      if (base > 0u) {
${lines(
  chunks.map(
    (chunk) => `${storeResult(chunk)}
        workgroupBarrier();
${each((i) => `        for (var c = lane % ${perRow}u; c < ${(chunk.length * n) / 4}u; c += ${perRow}u) { shared_scores[(row + ${i * m}u) * ${keyPitch}u + c] *= keep${i}; }`)}
        workgroupBarrier();
${loadResult(chunk)}
        workgroupBarrier();`,
  ),
)}
      }
    }
${each((i) => lines(quads.map((c) => `    { let p = vec4<f16>(exp2(s${i}_${c} - top${i})); total${i} += sum(vec4f(p)); shared_left[begin + ${i * m * keyPitch + perRow * c}u] = p; }`)))}
    workgroupBarrier();
    for (var key = 0u; key < ${keys}u; key += ${k}u) {
${each((i) => `      let p${i} = ${load(leftMatrix, "shared_left", `(own + ${i * m}u) * ${keyPitch}u + key / 4u`, keyPitch)};`)}
${lines(columns.map((j) => `      { let v_part = ${load(rightMatrix, "shared_v", `key * ${headPitch}u + ${(j * n) / 4}u`, headPitch)};\n${each((i) => `        o${i}_${j} = subgroupMatrixMultiplyAccumulate(p${i}, v_part, o${i}_${j});`)} }`))}
    }
    workgroupBarrier();
  }
${each((i) => `${shuffled(`total${i}`, (a, b) => `${a} + ${b}`)}\n  let inverse${i} = 1.0 / total${i};`)}
  let y_at = image * params.queries + first + row;
${lines(
  chunks.map(
    (chunk) => `${storeResult(chunk)}
  workgroupBarrier();
  for (var c = lane % ${perRow}u; c < ${Math.min((chunk.length * n) / 4, parts - (chunk[0] * n) / 4)}u; c += ${perRow}u) {
${each((i) => `    if (first + row + ${i * m}u < params.end) { store4_y((y_at + ${i * m}u) * params.heads * ${parts}u + head + ${(chunk[0] * n) / 4}u + c, shared_scores[(row + ${i * m}u) * ${keyPitch}u + c] * inverse${i}); }`)}
  }
  workgroupBarrier();`,
  ),
)}
}`;
};

export const flashAttentionMatrix: Kernel<FlashMatrixVariant> = {
  name: "flash attention by matrices",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source,
};
