/**
 * 2-D convolution on NHWC as an implicit matmul: y[b, oy, ox, o] = Σ_{ky, kx, c} x[b, iy, ix, c] · w[ky, kx, c, o],
 * iy = oy·stride + ky − pad_top, zero outside; then + bias[o] + shift[b, o] + residual[b, oy, ox, o], then the activation.
 * With `upsample` = 1 the input is read as if each pixel were doubled in both directions (nearest), which fuses
 * interpolate + conv. Weights are packed [ky, kx, cin, cout] at load, so the taps are the outer loop: one bounds test
 * per tap and row of the tile.
 *
 * `phases` does that for 3x3 kernels with 4/9 of the multiply-adds, as four 2x2 convolutions of the small image with sums of
 * weights (phase_weights.wgsl.ts), one per workgroup z = py·2 + px. Rows of the product and all params are those of one
 * phase: y[2·oy + py, 2·ox + px] = Σ x[oy + py − pad_top + ky, ox + px − pad_left + kx] · w[z, ky, kx], padding 1. Tiled only.
 *
 * `shortcut`: a 1x1 convolution of one or two other tensors with the pixels of y, whose channels lie one behind the other, is
 * added up in the same sums: the inner axis goes on over their channels.
 *
 * `plain`: one thread per four consecutive elements of y, any sizes; the reference of the tiled variants (tile.ts), which
 * need whole tiles of output channels and cin % 4 == 0.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { conv2dProduct } from "./conv2d_product.js";
import { plainEntry, tiledEntry } from "./tile.js";
import { sliceFunctions } from "./product.js";
import { enableTile, type TileVariant } from "./tile_parts.js";
import {
  operandAccess,
  paramsStruct,
  tensor,
  u32s,
  wgsl,
  type Access,
  type Format,
  type Kernel,
  type Textures,
} from "./wgsl.js";

export interface Conv2dVariant extends TileVariant {
  format: Format;
  fma: boolean;
  activation: Activation;
  /** Added to the pixels of each image its own, or to all the same, which a tile then loads once and not with every row. */
  shift: "none" | "own" | "same";
  residual: boolean;
  phases: boolean;
  /** How many tensors the shortcut has. */
  shortcut: 0 | 1 | 2;
  /** y[slice, pixel, o] are the sums of slices of the channels, in f32: no bias, shift, residual or activation. Tiled, no phases. */
  split: boolean;
  /** Operands that are read through textures. */
  textures: Textures;
}

const params = {
  ...u32s("height", "width", "cin", "cout", "out_height", "out_width", "kernel_height", "kernel_width", "slices"),
  ...u32s("stride", "pad_left", "upsample", "m", "row_start", "row_end"),
  /** Below 0 where x begins above what the first row needs. */
  pad_top: "i32" as const,
  /** Elements from one image's shift to the next (0: all have the same), and where the first begins. */
  ...u32s("shift_stride", "shift_start"),
  ...u32s("cin_shortcut", "cin_skip"),
};

const pixelFunctions = /* wgsl */ `
/** An output pixel: its image, and where its window begins in the (upsampled) input. */
struct Pixel { image: u32, y: i32, x: i32 }
fn pixel_of(row: u32) -> Pixel {
  let ox = row % params.out_width;
  let rest = row / params.out_width;
  let oy = rest % params.out_height;
  return Pixel(rest / params.out_height, i32(oy * params.stride) - params.pad_top, i32(ox * params.stride) - i32(params.pad_left));
}
/** The input pixel under a tap as a linear index, or -1 in the padding. */
fn source(p: Pixel, ky: u32, kx: u32) -> i32 {
  let y = p.y + i32(ky);
  let x = p.x + i32(kx);
  // No branches: SwiftShader's compile time doubles with each one (8 pixels in a thread took it 20 s).
  let inside = (y >= 0) & (x >= 0) & (y < i32(params.height << params.upsample)) & (x < i32(params.width << params.upsample));
  return select(-1, (i32(p.image * params.height) + (y >> params.upsample)) * i32(params.width) + (x >> params.upsample), inside);
}
`;

const phaseFunctions = /* wgsl */ `
fn pixel_of_phase(row: u32, phase: u32) -> Pixel {
  let p = pixel_of(row);
  return Pixel(p.image, p.y + i32(phase >> 1u), p.x + i32(phase & 1u));
}
/** The row of the result: lines 2·(row / out_width) + py of 2·out_width pixels each. */
fn row_of_phase(row: u32, phase: u32) -> u32 {
  return 2u * (row + params.out_width * (row / params.out_width + (phase >> 1u))) + (phase & 1u);
}
`;

/** The bindings after y. */
function terms({
  textures,
  shift,
  residual,
  shortcut,
}: Pick<Conv2dVariant, "textures" | "shift" | "residual" | "shortcut">): (readonly [name: string, access: Access])[] {
  const [left, right] = operandAccess(textures);
  const all: [boolean, string, Access][] = [
    [shift !== "none", "shift", "read"],
    [residual, "residual", "read"],
    [shortcut > 0, "shortcut_w", right],
    [shortcut > 0, "shortcut_bias", "read"],
    [shortcut > 0, "shortcut", left],
    [shortcut > 1, "skip", left],
  ];
  return all.flatMap(([present, name, access]) => (present ? [[name, access] as const] : []));
}

/** Optional terms are variants, not branches: they are half of the code of a large tile. */
const header = ({ format, by, step, textures, phases, split, ...others }: Conv2dVariant): string =>
  `${enableTile(format, { by })}${paramsStruct(params)}${split ? sliceFunctions(step) : ""}` +
  `${tensor(1, "x", operandAccess(textures)[0], format)}` +
  `${tensor(2, "w", operandAccess(textures)[1], format)}${tensor(3, "bias", "read", format)}` +
  `${tensor(4, "y", "write", split ? "f32" : format)}` +
  terms({ textures, ...others })
    .map(([name, access], i) => tensor(5 + i, name, access, format))
    .join("") +
  `${activationFunctions}${pixelFunctions}${phases ? phaseFunctions : ""}`;

const plain = (variant: Conv2dVariant): string => wgsl`${header(variant)}
fn element(e: u32) -> f32 {
  let row = min(e / params.cout, params.m - 1u);
  let o = e % params.cout;
  let p = pixel_of(row);
  var sum = 0.0;
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      let s = source(p, ky, kx);
      let xs = u32(max(s, 0)) * params.cin;
      let ws = (ky * params.kernel_width + kx) * params.cin * params.cout + o;
      let inside = select(0u, params.cin, s >= 0);
      for (var c = 0u; c < inside; c++) { sum += load_x(xs + c) * load_w(ws + c * params.cout); }
    }
  }
  #if ${variant.shortcut > 0}
  for (var c = 0u; c < params.cin_shortcut; c++) {
    sum += load_shortcut(row * params.cin_shortcut + c) * load_shortcut_w(c * params.cout + o);
  }
  #endif
  #if ${variant.shortcut > 1}
  for (var c = 0u; c < params.cin_skip; c++) {
    sum += load_skip(row * params.cin_skip + c) * load_shortcut_w((params.cin_shortcut + c) * params.cout + o);
  }
  #endif
  sum += load_bias(o);
  #if ${variant.shortcut > 0}
  sum += load_shortcut_bias(o);
  #endif
  #if ${variant.shift !== "none"}
  sum += load_shift(params.shift_start + p.image * params.shift_stride + o);
  #endif
  #if ${variant.residual}
  sum += load_residual(row * params.cout + o);
  #endif
  return sum;
}
${plainEntry("params.cout", (x) => activate(variant.activation, x))}`;

export const conv2d: Kernel<Conv2dVariant> = {
  name: "conv2d",
  params,
  bindings: (variant) => [
    ...operandAccess(variant.textures),
    "read",
    "write",
    ...terms(variant).map(([, access]) => access),
  ],
  source: (variant) =>
    variant.by === "plain"
      ? plain(variant)
      : header(variant) + tiledEntry(variant, "(params.cout >> 2u)", conv2dProduct(variant)),
};
