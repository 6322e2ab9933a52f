/**
 * Kernels of CPU adapters that go down columns with what they know of each in registers: the last step of norms. A thread has `held`
 * columns of quads, `lanes` apart, in a run of rows; the threads beside it have those between, so that together they read rows
 * in order (kernels/streams.ts says why).
 */
import { assigned, declared, hidden } from "./loops.js";
import { numbered, range, u32s } from "./wgsl.js";

export interface StripeVariant {
  lanes: number;
  held: number;
}

/** `threads` that have work, `columns` of a row, `spatial` rows of an image, and how many of them a thread has at most. */
export const STRIPE_PARAMS = u32s("threads", "columns", "spatial", "run");

/** The entry point. `body` sees its `image`, its rows from `begin` to `end`, and the first of its columns, `first`. */
export const inStripes = ({ lanes, held }: StripeVariant, body: string): string => `${numbered("thread")}
  if (thread >= params.threads) { return; }
  let stripes = params.columns / ${lanes * held}u;
  let runs = (params.spatial + params.run - 1u) / params.run;
  let first = thread / ${lanes}u % stripes * ${lanes * held}u + thread % ${lanes}u;
  let image = thread / (${lanes}u * stripes * runs);
  let start = thread / (${lanes}u * stripes) % runs * params.run;
  let begin = image * params.spatial + start;
  let end = begin + min(params.run, params.spatial - start);
${body}
}`;

/**
 * Declares a vec4f for each column that a thread holds, under a name and the column's number, for each of `loads`: of a column's quad in
 * a row to what is loaded for it. Many are a loop (loops.ts); SwiftShader, where threads hold two at most, keeps in registers only what
 * is written once.
 */
export function holdEach(stripe: StripeVariant, loads: Readonly<Record<string, (quad: string) => string>>): string {
  const { lanes, held } = stripe;
  const all = Object.entries(loads);
  if (held <= 2)
    return eachHeld(stripe, (k, quad) => all.map(([name, load]) => `  let ${name}${k} = ${load(quad)};`).join("\n"));
  const columns = (name: string): string[] => range(held).map((k) => `${name}${k}`);
  return `  ${all.map(([name]) => declared(columns(name))).join(" ")}
  let kept = ${hidden(held, "params.columns == 0u")};
  for (var k = 0u; k < kept; k++) {
    let quad = first + k * ${lanes}u;
${all.map(([name, load]) => `    let ${name} = ${load("quad")};\n    ${assigned(columns(name), "k", name)}`).join("\n")}
  }`;
}

/** `text` for each column that a thread holds, of which `quad` is the number in a row. */
export const eachHeld = ({ lanes, held }: StripeVariant, text: (k: number, quad: string) => string): string =>
  range(held)
    .map((k) => text(k, `first + ${k * lanes}u`))
    .join("\n");
