/**
 * The entry point of kernels that compute each quad of y by itself.
 *
 * GPUs take a thread per quad. On CPU adapters threads are dear (those of a subgroup, which run as one, 0.1 µs) and memory is read
 * ahead where it is walked in order: there the `lanes` of a subgroup walk side by side, `turns` times, through quads of their own,
 * which is two to three times as fast (`npm run bench -- --filter add`).
 */
import { numbered, range, u32s } from "./wgsl.js";

export interface StreamVariant {
  /** Threads that walk side by side; 0: a thread per quad. */
  lanes: number;
}

/** `quads` of y, and how many of them a thread computes at most. */
export const STREAM_PARAMS = u32s("quads", "turns");

/** `body` computes quad `i`, and does not return. */
export const overQuads = ({ lanes }: StreamVariant, body: string): string => `${numbered("thread")}
${lanes === 0 ? perThread(body) : inTurns(lanes, body)}
}`;

const perThread = (body: string): string => `  let i = thread;
  if (i >= params.quads) { return; }
${body}`;

const inTurns = (
  lanes: number,
  body: string,
): string => `  let first = thread / ${lanes}u * (${lanes}u * params.turns) + thread % ${lanes}u;
  let end = min(first + ${lanes}u * params.turns, params.quads);
  for (var i = first; i < end; i += ${lanes}u) {
${body}
  }`;

/** Quads that are `f(first element)`, or, where they are not `aligned` with rows, `f` of each element. */
export const overElements = (variant: StreamVariant, f: string, aligned: boolean): string =>
  overQuads(variant, `  store4_y(i, ${aligned ? `${f}(4u * i)` : eachElement(f)});`);

/** The quad i as `f` of each of its elements; `four` is its type. */
export const eachElement = (f: string, four = "vec4f"): string =>
  `${four}(${range(4)
    .map((lane) => `${f}(4u * i + ${lane}u)`)
    .join(", ")})`;
