/**
 * Mean and M2 = Σ (x - mean)² of a block's groups (group_norm_block.ts) in one read: each channel's sums of x - x0, x0 its first pixel
 * in the split (Chan, Golub & LeVeque 1983, "shifted data"), are corrected by its mean when the threads' are added up. Channels
 * are then joined to groups by differences of their means, so that nothing cancels.
 */
import { eachQuad, MOST, overPixels, type BlockVariant } from "./group_norm_block.js";
import { range } from "./wgsl.js";

/** So many lines add up in one, between two barriers. */
const RADIX = 4;

/** Sums that lines pass on at once. */
const passed = (threads: number): number => threads - Math.floor(threads / RADIX);

/** Workgroup memory that a kernel with these sums needs. */
export const momentsBytes = ({ threads, quads }: Pick<BlockVariant, "threads" | "quads">): number =>
  2 * 16 * quads * passed(threads) + 8 * (MOST.units + MOST.groups);

export const momentsMemory = ({ threads }: BlockVariant): string => `
var<workgroup> sums: array<Span, ${passed(threads)}>;
var<workgroup> squares: array<Span, ${passed(threads)}>;
/** (mean, M2) of each unit of channels. */
var<workgroup> units: array<vec2f, ${MOST.units}>;
`;

/** Mean and M2 of the lanes of a quad that are of one group. */
const unitMoments = (unit: number, quads: number, q: number): string =>
  range(4 / unit)
    .map((k) => {
      const of = "xyzw".slice(k * unit, (k + 1) * unit);
      const to = `units[(column * ${quads}u + ${q}u) * ${4 / unit}u + ${k}u]`;
      if (unit === 1) return `${to} = vec2f(mean.${of}, m2.${of});`;
      const ones = `vec${unit}f(1.0)`;
      return `{
      let origin = mean.${of[0]};
      let above = mean.${of} - origin;
      let middle = dot(above, ${ones}) / ${unit}.0;
      let off = above - middle;
      ${to} = vec2f(origin + middle, dot(m2.${of}, ${ones}) + n * dot(off, off));
    }`;
    })
    .join("\n    ");

/** Leaves (mean, M2) of group g of the block over the pixels of the split, for thread g < groups, in `group`. */
export const blockMoments = (variant: BlockVariant): string => `
  var x0: Span;
  var sum: Span;
  var square: Span;
  if (!idle) {
  ${overPixels(
    variant,
    (p) => p,
    (u) =>
      eachQuad(variant, (q) => {
        const d = `d${u}_${q}`;
        const inside = u === 0 ? "" : ` * select(0.0, 1.0, p + ${u}u * step < params.spatial)`;
        return `let ${d} = (v${u}[${q}] - x0[${q}])${inside}; sum[${q}] += ${d}; square[${q}] += ${d} * ${d};`;
      }),
    (load) => `x0 = ${load("workgroup.y * lines")};`,
  )}
  }
  for (var count = lines; count > 1u;) {
    let next = (count + ${RADIX - 1}u) / ${RADIX}u;
    if (line >= next && line < count) {
      sums[(line - next) * params.width + column] = sum;
      squares[(line - next) * params.width + column] = square;
    }
    workgroupBarrier();
    if (line < next) {
      for (var other = line; other + next < count; other += next) {
        ${eachQuad(
          variant,
          (q) => `sum[${q}] += sums[other * params.width + column][${q}];
        square[${q}] += squares[other * params.width + column][${q}];`,
        )}
      }
    }
    workgroupBarrier();
    count = next;
  }
  let n = f32(pixels_of(workgroup.y, lines, grid.y));
  if (line == 0u && !idle) {
    ${eachQuad(
      variant,
      (q) => `{
    let mean = x0[${q}] + sum[${q}] / n;
    let m2 = max(square[${q}] - sum[${q}] * sum[${q}] / n, vec4f());
    ${unitMoments(variant.unit, variant.quads, q)}
    }`,
    )}
  }
  workgroupBarrier();
  var group = vec2f();
  if (local < groups) {
    let count = params.per_group / ${variant.unit}u;
    let first = local * count;
    let origin = units[first].x;
    for (var i = first; i < first + count; i++) { group.x += units[i].x - origin; }
    group.x /= f32(count);
    for (var i = first; i < first + count; i++) {
      let off = units[i].x - origin - group.x;
      group.y += units[i].y + n * ${variant.unit}.0 * off * off;
    }
    group.x += origin;
  }
`;
