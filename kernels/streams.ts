/**
 * The entry point of kernels that compute each quad of y by itself.
 *
 * GPUs take a thread per quad. On CPU adapters threads are dear (those of a subgroup, which run as one, 0.1 µs) and memory is read
 * ahead where it is walked in order: there the `lanes` of a subgroup walk side by side, `turns` times, through quads of their own,
 * which is two to three times as fast (`npm run bench -- --filter add`).
 *
 * Where quad i lies takes divisions, which CPU adapters do lane by lane: there they are done once per thread, and what comes next is
 * counted (`npm run bench -- --filter upsample`: up to 2 times as fast).
 */
import { numbered, range, u32s } from "./wgsl.js";

export interface StreamVariant {
  /** Threads that walk side by side; 0: a thread per quad. */
  lanes: number;
}

/** `quads` of y, how many of them a thread computes at most, and from where to where those of the dispatch go. */
export const STREAM_PARAMS = u32s("quads", "turns", "stream_start", "stream_end");

/** Where a quad lies: a name for each axis, the last one first, and its length; that of the first axis is not needed. */
export interface Axes {
  names: readonly string[];
  lengths: readonly string[];
}

const NO_AXES: Axes = { names: [], lengths: [] };

/** `body` computes quad `i`, which lies at these places of `axes`, and does not return. */
export const overQuads = ({ lanes }: StreamVariant, body: string, axes = NO_AXES): string => `${numbered("thread")}
${lanes === 0 ? perThread(body, axes) : inTurns(lanes, body, axes)}
}`;

const perThread = (body: string, axes: Axes): string => `  let i = params.stream_start + thread;
  if (i >= params.stream_end) { return; }
${places(axes, "i", "let", "")}
${body}`;

const inTurns = (
  lanes: number,
  body: string,
  axes: Axes,
): string => `  let first = params.stream_start + thread / ${lanes}u * (${lanes}u * params.turns) + thread % ${lanes}u;
  let end = min(first + ${lanes}u * params.turns, params.stream_end);
${places(axes, "first", "var", "")}
${places(axes, `${lanes}u`, "let", "_step")}
  for (var i = first; i < end; i += ${lanes}u) {
${body}
${counted(axes)}
  }`;

/** Declares the place of quad number `quad`. */
const places = ({ names, lengths }: Axes, quad: string, kind: "let" | "var", suffix: string): string =>
  names
    .map((name, k) => {
      const rest = [quad, ...lengths.slice(0, k)].map((each) => `(${each})`).join(" / ");
      return `  ${kind} ${name}${suffix} = ${rest}${k < lengths.length ? ` % (${lengths[k]})` : ""};`;
    })
    .join("\n");

/** Adds the steps, axis by axis: each place is below its length, so that one is carried at most. */
const counted = ({ names, lengths }: Axes): string =>
  names
    .map((name, k) => {
      const carried = k > 0 ? ` + select(0u, 1u, ${names[k - 1]}_over)` : "";
      const sum = `    ${name} += ${name}_step${carried};`;
      if (k >= lengths.length) return sum;
      return `${sum}
    let ${name}_over = ${name} >= (${lengths[k]});
    ${name} -= select(0u, ${lengths[k]}, ${name}_over);`;
    })
    .join("\n");

/** Quads that are `f(first element)`, or, where they are not `aligned` with rows, `f` of each element. */
export const overElements = (variant: StreamVariant, f: string, aligned: boolean): string =>
  overQuads(variant, `  store4_y(i, ${aligned ? `${f}(4u * i)` : eachElement(f)});`);

/** The quad i as `f` of each of its elements; `four` is its type. */
export const eachElement = (f: string, four = "vec4f"): string =>
  `${four}(${range(4)
    .map((lane) => `${f}(4u * i + ${lane}u)`)
    .join(", ")})`;
