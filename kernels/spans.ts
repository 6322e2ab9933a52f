/**
 * Tensors as spans: one or two quads side by side, which a thread loads and stores at once. GPUs move 16 bytes per thread and
 * load at best: a quad of f32, two quads of halves. Halves are read as words here even where shader-f16 is there, as a vec4<f16>
 * has 8 bytes.
 */
import { storeHalves } from "./halves.js";
import { range, type Format } from "./wgsl.js";

export interface SpanVariant {
  format: Format;
  /** Quads in a span. */
  quads: 1 | 2;
}

/** The type of a span in registers. */
export const spanType = ({ quads }: Pick<SpanVariant, "quads">): string => `alias Span = array<vec4f, ${quads}>;\n`;

/** Declares a tensor at `binding` with `load_x(span)` or `store_x(span, v)`: span i has the elements from 4 * quads * i. */
export function spans(binding: number, name: string, access: "read" | "write", { format, quads }: SpanVariant): string {
  const word = format === "f32" ? "vec4f" : quads === 1 ? "vec2u" : "vec4u";
  const mode = access === "read" ? "read" : "read_write";
  return `@group(0) @binding(${binding}) var<storage, ${mode}> ${name}: array<${word}>;
${access === "read" ? load(name, format, quads) : store(name, format, quads)}`;
}

const PAIRS = ["xy", "zw"];

function load(name: string, format: Format, quads: number): string {
  const halves = range(quads).map(
    (q) => `vec4f(${[...PAIRS[q]].map((word) => `unpack2x16float(w.${word})`).join(", ")})`,
  );
  const body =
    format === "f32"
      ? `return Span(${range(quads)
          .map((q) => `${name}[${quads}u * i + ${q}u]`)
          .join(", ")});`
      : `let w = ${name}[i]; return Span(${halves.join(", ")});`;
  return `fn load_${name}(i: u32) -> Span { ${body} }\n`;
}

/** The halves of `v`, a vec4f. pack2x16float may cut off (see AdapterKind.halfFormat), but not what is a half already. */
const WORDS: Record<Exclude<Format, "f32">, string> = {
  f16: "let h = vec4f(vec4<f16>(v)); return vec2u(pack2x16float(h.xy), pack2x16float(h.zw));",
  pack16: "return vec2u(pack2x16float(v.xy), pack2x16float(v.zw));",
  bits16: `var words: vec2u; ${storeHalves("words")} return words;`,
};

function store(name: string, format: Format, quads: number): string {
  if (format === "f32") {
    const stores = range(quads).map((q) => `${name}[${quads}u * i + ${q}u] = v[${q}];`);
    return `fn store_${name}(i: u32, v: Span) { ${stores.join(" ")} }\n`;
  }
  const words = range(quads).map((q) => `words_${name}(v[${q}])`);
  return `fn words_${name}(v: vec4f) -> vec2u { ${WORDS[format]} }
fn store_${name}(i: u32, v: Span) { ${name}[i] = ${quads === 1 ? words[0] : `vec4u(${words.join(", ")})`}; }\n`;
}
