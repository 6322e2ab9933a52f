/**
 * o = softmax(q kᵀ · scale) v of one head, with an online softmax (Milakov & Gimelshein 2018), for CPU adapters whose subgroups
 * have a known size. A workgroup is one subgroup. A lane has `rows` queries of its own, `lanes` apart, and keeps them and
 * their results in registers; the lanes load some keys together and broadcast them. So scores never reach memory, where each
 * costs more than the arithmetic in it: llvmpipe loads and stores lane by lane and number by number. Sums are in f32.
 */
import { flashParams as params, standing, visible } from "./attention_parts.js";
import { assigned, chosen, declared, hidden } from "./loops.js";
import { lines } from "./tile_parts.js";
import { enable, multiplyAdd, paramsStruct, range, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface FlashLanesTile {
  lanes: number;
  /** Queries of a lane. */
  rows: number;
  /** Keys of a turn. */
  keys: number;
}

export interface FlashLanesVariant extends FlashLanesTile {
  format: Format;
  headSize: number;
  fma: boolean;
}

const COMPONENTS = ["x", "y", "z", "w"];

export const flashAttentionLanes: Kernel<FlashLanesVariant> = {
  name: "flash attention by lanes",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source({ format, headSize, fma, lanes, ...tile }) {
    const mad = multiplyAdd(fma);
    const parts = headSize / 4;
    const [rows, keys, quads] = [range(tile.rows), range(tile.keys), range(parts)];
    const loads = range(Math.ceil((tile.keys * parts) / lanes));
    /** The variables with the quads of row b's head. */
    const ofHead = (name: "q" | "y", b: number): string[] => quads.map((p) => `${name}${b}_${p}`);
    const each = (text: (b: number) => string): string => lines(rows.map(text));
    /** The lanes' loads of a turn's keys or values. */
    const load = (name: "k" | "v"): string =>
      lines(
        loads.map((i) => {
          const token = `min(key + token${i}, params.keys - 1u)`;
          return `    let ${name}${i} = load4_${name}(${name}_at + ${token} * (params.${name}_stride >> 2u) + part${i});`;
        }),
      );
    /** Quad p of key r of the turn, as one of the lanes has loaded it. */
    const quad = (name: "k" | "v", r: number, p: number): string => {
      const at = r * parts + p;
      return `subgroupBroadcast(${name}${Math.floor(at / lanes)}, ${at % lanes}u)`;
    };
    const dot = (b: number, r: number, p: number): string =>
      `s${b}_${r} = ${COMPONENTS.reduce((sum, c) => mad(`q${b}_${p}.${c}`, `w${r}.${c}`, sum), `s${b}_${r}`)};`;
    const scores = quads.map((p) => {
      const shared = keys.map((r) => `let w${r} = ${quad("k", r, p)};`).join(" ");
      return `    { ${shared}\n${each((b) => keys.map((r) => dot(b, r, p)).join(" "))} }`;
    });
    const weights = each((b) => {
      const seen = (r: number): string => `key + ${r}u < seen${b}`;
      const peak = keys.reduce((most, r) => `max(${most}, select(-1e30, s${b}_${r}, ${seen(r)}))`, `top${b}`);
      return `    let peak${b} = ${peak};
    let shrink${b} = exp(top${b} - peak${b});
    ${keys.map((r) => `let e${b}_${r} = select(0.0, exp(s${b}_${r} - peak${b}), ${seen(r)});`).join(" ")}
    total${b} = total${b} * shrink${b} + ${keys.map((r) => `e${b}_${r}`).join(" + ")};
    top${b} = peak${b};`;
    });
    const values = quads.map((p) => {
      const shared = keys.map((r) => `let w${r} = ${quad("v", r, p)};`).join(" ");
      const sum = (b: number): string =>
        keys.reduce((before, r) => mad(`vec4f(e${b}_${r})`, `w${r}`, before), `y${b}_${p} * shrink${b}`);
      return `    { ${shared}\n${each((b) => `y${b}_${p} = ${sum(b)};`)} }`;
    });
    return wgsl`${enable(format, true)}${paramsStruct(params)}${tensor(1, "q", "read", format)}
${tensor(2, "k", "read", format)}${tensor(3, "v", "read", format)}${tensor(4, "y", "write", format)}${visible}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
${standing(parts, tile.rows * lanes)}
  // Behind the last query it is the last again, which stores the same once more.
${each((b) => `  let query${b} = min(first + ${b * lanes}u + lane, params.end - 1u); let seen${b} = visible(query${b});`)}
  let parts = ${hidden(parts, "params.keys == 0u")};
${each((b) => `  ${declared(ofHead("q", b))}`)}
  for (var part = 0u; part < parts; part++) {
${each(
  (b) => `    let own${b} = load4_q(q_at + query${b} * (params.q_stride >> 2u) + part) * params.scale;
    ${assigned(ofHead("q", b), "part", `own${b}`)}`,
)}
  }
${each((b) => `  var top${b} = -1e30; var total${b} = 0.0; ${declared(ofHead("y", b))}`)}
${lines(
  loads.map((i) => {
    const own = `min(${i * lanes}u + lane, ${tile.keys * parts - 1}u)`;
    return `  let token${i} = ${own} / ${parts}u; let part${i} = ${own} % ${parts}u;`;
  }),
)}
  let most = visible(min(first + ${tile.rows * lanes}u, params.end) - 1u);
  for (var key = 0u; key < most; key += ${tile.keys}u) {
${load("k")}
    ${rows.flatMap((b) => keys.map((r) => `var s${b}_${r} = 0.0;`)).join(" ")}
${lines(scores)}
${weights}
${load("v")}
${lines(values)}
  }
${each(
  (b) =>
    `  let inverse${b} = 1.0 / total${b}; let at${b} = (image * params.queries + query${b}) * params.heads * ${parts}u + head;`,
)}
  for (var part = 0u; part < parts; part++) {
${each((b) => `    store4_y(at${b} + part, ${chosen(ofHead("y", b), "part")} * inverse${b});`)}
  }
}`;
  },
};
