/**
 * 2-D convolution on NHWC as an implicit matmul: y[b, oy, ox, o] = Σ_{ky, kx, c} x[b, iy, ix, c] · w[ky, kx, c, o],
 * iy = oy·stride + ky − pad_top, zero outside; then + bias[o] + shift[b, o] + residual[b, oy, ox, o], then the activation.
 * With `upsample` = 1 the input is read as if each pixel were doubled in both directions (nearest), which fuses
 * interpolate + conv. Weights are packed [ky, kx, cin, cout] at load, so the taps are the outer loop: one bounds test
 * per tap and row of the tile.
 *
 * `plain`: one thread per four consecutive elements of y, any sizes; the reference of the tiled variants.
 * `tiled`: one thread per tileM pixels x 4·tileN4 channels in registers; needs cout % (4·tileN4) == 0 and cin % 4 == 0.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { plainEntry, tileEntry, type TileVariant } from "./tile.js";
import { enable, multiplyAdd, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface Conv2dVariant extends TileVariant {
  format: Format;
  fma: boolean;
  activation: Activation;
}

const params = {
  ...u32s("height", "width", "cin", "cout", "out_height", "out_width", "kernel_height", "kernel_width"),
  ...u32s("stride", "pad_top", "pad_left", "upsample", "m", "row_start", "row_end"),
  ...u32s("has_shift", "has_residual"),
};

const pixelFunctions = /* wgsl */ `
/** An output pixel: its image, and where its window begins in the (upsampled) input. */
struct Pixel { image: u32, y: i32, x: i32 }
fn pixel_of(row: u32) -> Pixel {
  let ox = row % params.out_width;
  let rest = row / params.out_width;
  let oy = rest % params.out_height;
  return Pixel(rest / params.out_height, i32(oy * params.stride) - i32(params.pad_top), i32(ox * params.stride) - i32(params.pad_left));
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

const header = (format: Format): string =>
  `${enable(format)}${paramsStruct(params)}` +
  `${tensor(1, "x", "read", format)}${tensor(2, "w", "read", format)}${tensor(3, "bias", "read", format)}` +
  `${tensor(4, "shift", "read", format)}${tensor(5, "residual", "read", format)}${tensor(6, "y", "write", format)}` +
  `${activationFunctions}${pixelFunctions}`;

const plain = ({ format, activation }: Conv2dVariant): string => wgsl`${header(format)}
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
  sum += load_bias(o);
  if (params.has_shift != 0u) { sum += load_shift(p.image * params.cout + o); }
  if (params.has_residual != 0u) { sum += load_residual(row * params.cout + o); }
  return sum;
}
${plainEntry("params.cout", (x) => activate(activation, x))}`;

const tiled = ({ format, tileM, tileN4, fma, activation, flat }: Conv2dVariant): string => {
  const mad = multiplyAdd(fma);
  const rows = range(tileM);
  const columns = range(tileN4);
  const each = (f: (i: number, j: number) => string): string =>
    rows.map((i) => columns.map((j) => f(i, j)).join("\n")).join("\n");
  const body = wgsl`  let c4 = params.cin >> 2u;
${rows.map((i) => `  let p${i} = pixel_of(min(row + ${i}u, params.m - 1u));`).join("\n")}
${each((i, j) => `  var sum${i}_${j} = vec4f();`)}
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
${rows
  .map(
    (i) => `      let s${i} = source(p${i}, ky, kx);
      let x${i} = u32(max(s${i}, 0)) * c4;
      let inside${i} = vec4f(select(0.0, 1.0, s${i} >= 0));`,
  )
  .join("\n")}
      let tap = (ky * params.kernel_width + kx) * params.cin * n4 + column;
      for (var c = 0u; c < c4; c++) {
        let base = tap + c * 4u * n4;
${range(4)
  .map((r) => columns.map((j) => `        let w${r}_${j} = load4_w(base + ${r}u * n4 + ${j}u);`).join("\n"))
  .join("\n")}
${rows
  .map(
    (i) => `        { let a = load4_x(x${i} + c) * inside${i};
${range(4)
  .map((r) =>
    columns.map((j) => `          sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`).join("\n"),
  )
  .join("\n")} }`,
  )
  .join("\n")}
      }
    }
  }
${columns.map((j) => `  let bias${j} = load4_bias(column + ${j}u);`).join("\n")}
${rows.map((i) => `  let at${i} = min(row + ${i}u, params.m - 1u) * n4 + column;`).join("\n")}
${each((i, j) => `  sum${i}_${j} += bias${j};`)}
  // Optional terms: one branch each for the whole tile.
  if (params.has_shift != 0u) {
${each((i, j) => `    sum${i}_${j} += load4_shift(p${i}.image * n4 + column + ${j}u);`)}
  }
  if (params.has_residual != 0u) {
${each((i, j) => `    sum${i}_${j} += load4_residual(at${i} + ${j}u);`)}
  }
${rows
  .map(
    (i) =>
      `  if (row + ${i}u < params.row_end) {\n${columns.map((j) => `    store4_y(at${i} + ${j}u, ${activate(activation, `sum${i}_${j}`)});`).join("\n")}\n  }`,
  )
  .join("\n")}`;
  return wgsl`${header(format)}${tileEntry({ tileM, tileN4, flat }, "params.cout >> 2u", body)}`;
};

export const conv2d: Kernel<Conv2dVariant> = {
  name: "conv2d",
  params,
  bindings: () => ["read", "read", "read", "read", "read", "write"],
  source: (variant) => (variant.tileM === 0 ? plain(variant) : tiled(variant)),
};
