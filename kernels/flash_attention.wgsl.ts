/**
 * o = softmax(q kᵀ · scale) v of one head, with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022), for GPUs: a
 * workgroup takes a tile of queries of one head and walks over tiles of keys. Any head size that is a multiple of 4.
 *
 * `groups` x `across` threads: those of a group hold `rows` queries each, the same ones. In the scores a thread has `keys`
 * keys of a tile, in the result `columns` quads of the head: both are products of blocks in registers, read from workgroup
 * memory, where q and the weights lie as quads of four queries and k and v (in turn at the same place) as quads of the head.
 * k and v are loaded a phase ahead of their use. Sums are in f32, exponents to base 2: q is multiplied by scale · log2 e.
 */
import { fetcher, flashParams, standing, visible } from "./attention_parts.js";
import { lines } from "./tile_parts.js";
import { enable, multiplyAdd, paramsStruct, range, tensor, u32s, type Format, type Kernel } from "./wgsl.js";

export interface FlashTile {
  /** Queries per thread, a multiple of 4. */
  rows: number;
  /** Keys per thread. */
  keys: number;
  /** Quads of the head per thread. */
  columns: number;
  /** Groups of threads that hold the same queries. */
  groups: number;
}

export interface FlashVariant extends FlashTile {
  format: Format;
  headSize: number;
  fma: boolean;
}

/** `parts`: quads of a head. */
const params = { ...flashParams, ...u32s("parts") };

/** What follows from a tile: threads of a workgroup, its queries, the keys of a turn, bytes of workgroup memory. */
export function flashSizes({ rows, keys, columns, groups }: FlashTile, headSize: number) {
  const parts = headSize / 4;
  const across = Math.ceil(parts / columns);
  const quads = (groups * rows) / 4;
  const turn = across * keys;
  // Odd distances between the rows that neighbouring threads read or write: no two of them are in the same banks.
  const pitch = parts | 1;
  const weightPitch = quads | 1;
  const bytes = 16 * (headSize * quads + turn * (pitch + weightPitch) + across * quads);
  return { parts, across, threads: across * groups, queries: groups * rows, quads, turn, pitch, weightPitch, bytes };
}

const source = ({ format, headSize, fma, ...tile }: FlashVariant): string => {
  const mad = multiplyAdd(fma);
  const { parts, across, threads, queries, quads, turn, pitch, weightPitch } = flashSizes(tile, headSize);
  const rows = range(tile.rows);
  const rowQuads = range(tile.rows / 4);
  const keys = range(tile.keys);
  const columns = range(tile.columns);
  const loads = range(Math.ceil((turn * parts) / threads));
  const unroll = [4, 3, 2].find((n) => turn % n === 0) ?? 1;
  const row = (h: number): string => `group + ${tile.groups * h}u`;
  const each = (text: (h: number) => string): string => lines(rowQuads.map(text));
  const block = (text: (h: number, j: number) => string): string =>
    lines(rowQuads.flatMap((h) => keys.map((j) => text(h, j))));
  const fetch = (name: "k" | "v", base: string): string =>
    lines(loads.map((i) => `    ahead${i} = fetch_${name}(${name}_at, ${base}, local + ${threads * i}u);`));
  const place = lines(
    loads.map((i) => {
      const slot = `local + ${threads * i}u`;
      const inside = threads * (i + 1) <= turn * parts ? "" : `if (${slot} < ${turn * parts}u) `;
      return `    ${inside}{ shared_kv[place(${slot})] = ahead${i}; }`;
    }),
  );
  return `${enable(format)}${paramsStruct(params)}
${tensor(1, "q", "read", format)}${tensor(2, "k", "read", format)}${tensor(3, "v", "read", format)}${tensor(4, "y", "write", format)}
var<workgroup> shared_q: array<vec4f, ${headSize * quads}>;
var<workgroup> shared_kv: array<vec4f, ${turn * pitch}>;
var<workgroup> shared_weights: array<vec4f, ${turn * weightPitch}>;
/** What the threads of a group have each found of their rows. */
var<workgroup> shared_rows: array<vec4f, ${across * quads}>;

const NONE = vec4f(-1e30);
${visible}fn visible4(query: u32) -> vec4u {
  return select(vec4u(params.keys), min(vec4u(params.keys), query + vec4u(1u, 2u, 3u, 4u)), params.causal != 0u);
}
/** Where quad \`slot\` of a tile of keys or values lies in workgroup memory. */
fn place(slot: u32) -> u32 { return slot / ${parts}u * ${pitch}u + slot % ${parts}u; }
${fetcher("k", parts, "vec4f")}${fetcher("v", parts, "vec4f")}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % ${across}u;
  let group = local / ${across}u;
${standing(parts, queries)}
  // Inner loops end at params, so that no compiler unrolls them: lavapipe's would take ten times as long.
  let across = (params.parts + ${tile.columns - 1}u) / ${tile.columns}u;
  let turn = across * ${tile.keys}u;
  let factor = params.scale * ${Math.LOG2E};
  for (var slot = local; slot < ${quads * parts}u; slot += ${threads}u) {
    let part = slot % ${parts}u;
    let quad = slot / ${parts}u;
${lines(range(4).map((r) => `    let q${r} = load4_q(q_at + min(first + 4u * quad + ${r}u, params.end - 1u) * (params.q_stride >> 2u) + part) * factor;`))}
${lines(range(4).map((z) => `    shared_q[(4u * part + ${z}u) * ${quads}u + quad] = vec4f(q0[${z}], q1[${z}], q2[${z}], q3[${z}]);`))}
  }
${each((h) => `  var top${h} = NONE; var total${h} = vec4f();`)}
${lines(rows.flatMap((i) => columns.map((j) => `  var o${i}_${j} = vec4f();`)))}
${lines(columns.map((j) => `  let column${j} = min(lane + ${across * j}u, ${parts - 1}u);`))}
  // Up to here every query of the tile sees all keys, and from there on none sees any.
  let full = visible(first);
  let last = visible(first + ${queries - 1}u);
${lines(loads.map((i) => `  var ahead${i} = vec4f();`))}
${fetch("k", "0u")}
  for (var base = 0u; base < last; base += ${turn}u) {
${place}
    workgroupBarrier();
${fetch("v", "base")}
${block((h, j) => `    var s${h}_${j} = vec4f();`)}
    for (var part = 0u; part < params.parts; part++) {
${lines(keys.map((j) => `      let k${j} = shared_kv[(lane + ${across * j}u) * ${pitch}u + part];`))}
${lines(range(4).map((z) => `      { ${rowQuads.map((h) => `let q${h} = shared_q[(4u * part + ${z}u) * ${quads}u + ${row(h)}];`).join(" ")}\n${block((h, j) => `      s${h}_${j} = ${mad(`q${h}`, `vec4f(k${j}[${z}])`, `s${h}_${j}`)};`)} }`))}
    }
    if (base + ${turn}u > full) {
${each((h) => `      let visible${h} = visible4(first + 4u * (${row(h)}));`)}
${block((h, j) => `      s${h}_${j} = select(NONE, s${h}_${j}, vec4u(base + lane + ${across * j}u) < visible${h});`)}
    }
${each((h) => `    shared_rows[lane * ${quads}u + ${row(h)}] = ${keys.slice(1).reduce((most, j) => `max(${most}, s${h}_${j})`, `s${h}_0`)};`)}
    workgroupBarrier();
${place}
${fetch("k", `base + ${turn}u`)}
${each((h) => `    var next${h} = top${h};`)}
    for (var other = 0u; other < across; other++) {
${each((h) => `      next${h} = max(next${h}, shared_rows[other * ${quads}u + ${row(h)}]);`)}
    }
${each((h) => `    let keep${h} = exp2(top${h} - next${h}); top${h} = next${h}; total${h} *= keep${h};`)}
${block((h, j) => `    let p${h}_${j} = exp2(s${h}_${j} - top${h}); total${h} += p${h}_${j}; shared_weights[(lane + ${across * j}u) * ${weightPitch}u + ${row(h)}] = p${h}_${j};`)}
    workgroupBarrier();
${lines(rows.flatMap((i) => columns.map((j) => `    o${i}_${j} *= keep${i >> 2}[${i & 3}];`)))}
    for (var key = 0u; key < turn; key += ${unroll}u) {
${lines(
  range(unroll).map(
    (z) => `      {
${each((h) => `      let p${h} = shared_weights[(key + ${z}u) * ${weightPitch}u + ${row(h)}];`)}
${lines(columns.map((j) => `      let v${j} = shared_kv[(key + ${z}u) * ${pitch}u + column${j}];`))}
${lines(rows.flatMap((i) => columns.map((j) => `      o${i}_${j} = ${mad(`vec4f(p${i >> 2}[${i & 3}])`, `v${j}`, `o${i}_${j}`)};`)))}
      }`,
  ),
)}
    }
    workgroupBarrier();
  }
${each((h) => `  shared_rows[lane * ${quads}u + ${row(h)}] = total${h};`)}
  workgroupBarrier();
${each((h) => `  var sum${h} = vec4f();`)}
  for (var other = 0u; other < across; other++) {
${each((h) => `    sum${h} += shared_rows[other * ${quads}u + ${row(h)}];`)}
  }
${each((h) => `  let inverse${h} = 1.0 / sum${h}; let query${h} = first + 4u * (${row(h)});`)}
  let y_at = image * params.queries;
  let y_step = params.heads * ${parts}u;
${lines(
  rows.map((i) => {
    const query = `query${i >> 2} + ${i & 3}u`;
    const stores = columns.map(
      (j) => `store4_y((y_at + ${query}) * y_step + head + column${j}, o${i}_${j} * inverse${i >> 2}[${i & 3}]);`,
    );
    return `  if (${query} < params.end) { ${stores.join(" ")} }`;
  }),
)}
}`;
};

export const flashAttention: Kernel<FlashVariant> = {
  name: "flash attention",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source,
};
