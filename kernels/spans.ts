/**
 * Tensors as spans: one or two quads side by side, which a thread loads and stores at once. GPUs move 16 bytes per thread and
 * load at best: a quad of f32, two quads of halves. Halves are read as words here even where shader-f16 is there, as a vec4<f16>
 * has 8 bytes.
 */
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

function store(name: string, format: Format, quads: number): string {
  const words = range(quads).flatMap((q) => PAIRS.map((pair) => `pack2x16float(v[${q}].${pair})`));
  const body =
    format === "f32"
      ? range(quads)
          .map((q) => `${name}[${quads}u * i + ${q}u] = v[${q}];`)
          .join(" ")
      : `${name}[i] = vec${2 * quads}u(${words.join(", ")});`;
  return `fn store_${name}(i: u32, v: Span) { ${body} }\n`;
}
