/**
 * What a workgroup does for a group norm on GPUs: a block of channels, whole groups of them, of every `grid.y`-th run of pixels.
 * Threads stand in lines: as many side by side as the block has spans of channels (spans.ts), further lines at further pixels,
 * so that neighbouring threads read neighbouring bytes, and each thread keeps its channels.
 *
 * Grid: blocks of channels x splits of the pixels x images. The splits of an image read it in step, from one end to the other:
 * what a cache holds of it in the end is one piece.
 */
import { spans, spanType, type SpanVariant } from "./spans.js";
import { range, u32s } from "./wgsl.js";

export interface BlockVariant extends SpanVariant {
  /** Channels of a second tensor, `skip`, lie behind those of x. */
  joined: boolean;
  /** Lanes of a quad that are of one group: 4, or 2 or 1 where groups begin inside of quads. */
  unit: 1 | 2 | 4;
  /** Of a workgroup. */
  threads: number;
  /** Pixels that a thread loads before it uses the first. */
  unroll: number;
}

/** `front`: spans that x has of a pixel; `width`: spans in a block. */
export const blockParams = u32s("spatial", "channels", "front", "per_group", "width");

/** What a block has at most, for workgroup memory: groups, and units (see BlockVariant) of channels. */
export const MOST = { groups: 64, units: 256 };

/** `f` for each quad of a span. */
export const eachQuad = ({ quads }: SpanVariant, f: (quad: number) => string): string => range(quads).map(f).join("\n");

/** Every kernel's first binding, and where it is joined its last. */
export const blockSources = (variant: BlockVariant, skip: number): string => `${spanType(variant)}
${spans(1, "x", "read", variant)}${variant.joined ? spans(skip, "skip", "read", variant) : ""}
const LANES = ${4 * variant.quads}u;
/** Of the block's groups; what, the kernel says. */
var<workgroup> moments: array<vec2f, ${MOST.groups}>;
/** Pixels that a split has, by lines. */
fn pixels_of(split: u32, lines: u32, splits: u32) -> u32 {
  let rest = params.spatial % (lines * splits);
  return params.spatial / (lines * splits) * lines + min(max(rest, split * lines) - split * lines, lines);
}
`;

/** The entry point: where the thread stands. Idle threads, which fill up the workgroup, only wait with the others. */
export const blockEntry = ({ threads }: BlockVariant, body: string): string => `
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let spans = params.channels / LANES;
  let column = local % params.width;
  let at = workgroup.x * params.width + column;
  let lines = ${threads}u / params.width;
  let line = local / params.width;
  let idle = line >= lines || at >= spans;
  let step = grid.y * lines;
  let first_channel = workgroup.x * params.width * LANES;
  let groups = min(params.width * LANES, params.channels - first_channel) / params.per_group;
${body}
}`;

/** `body` for the tensor that has the thread's channels, given how a span of a pixel of the image is loaded from it. */
const bySource = ({ joined }: BlockVariant, body: (load: (pixel: string) => string) => string): string => {
  const from = (name: string, stride: string, of: string): string =>
    body((pixel) => `load_${name}((image * params.spatial + ${pixel}) * ${stride} + ${of})`);
  if (!joined) return from("x", "spans", "at");
  return `if (at < params.front) {${from("x", "params.front", "at")}
  } else {${from("skip", "(spans - params.front)", "(at - params.front)")}
  }`;
};

/** Runs `use(u)` for `unroll` pixels p + u * step at a time, which `v0`, `v1`, … hold; behind the end they are the last pixel again. */
export const overPixels = (
  variant: BlockVariant,
  pixel: (p: string) => string,
  use: (u: number) => string,
  before: (load: (pixel: string) => string) => string = () => "",
): string =>
  bySource(
    variant,
    (load) => `
    ${before(load)}
    for (var p = workgroup.y * lines + line; p < params.spatial; p += ${variant.unroll}u * step) {
      ${range(variant.unroll)
        .map((u) => `let p${u} = min(p + ${u}u * step, params.spatial - 1u); let v${u} = ${load(pixel(`p${u}`))};`)
        .join("\n      ")}
      ${range(variant.unroll).map(use).join("\n      ")}
    }`,
  );
