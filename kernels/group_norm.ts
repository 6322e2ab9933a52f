/**
 * Group normalisation (Wu & He 2018) on NHWC: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the
 * pixels and channels of one group of one image; optionally followed by SiLU.
 *
 * On CPU adapters, and for channels that fill no quads, three kernels: `statistics` gives mean and M2 of each channel over some
 * of the pixels, neighbouring threads reading neighbouring quads, each once; `merge` joins channels and runs of pixels to groups by
 * Chan's formula and says of each channel what is subtracted and what it is multiplied by; `apply` is then a stream. (x - mean
 * first keeps the digits where the mean is large.) Their plain variants are the reference. Small tensors have
 * group_norm_lanes.wgsl.ts there, and GPUs group_norm_block.wgsl.ts.
 *
 * `joined`: the channels are those of x and, behind them, those of a second tensor `skip`, as if both were concatenated;
 * groups may straddle the two, quads may not. `front` is the number of quads that x has.
 */
/**
 * `body` for the tensor that has quad `at` of the `quads` of a pixel: a loop, which costs threads that do not run through it next to
 * nothing. It is told how many of the quads the tensor has, and what to subtract from theirs.
 */
export const bySource = (
  joined: boolean,
  at: string,
  quads: string,
  body: (source: "x" | "skip", quads: string, skipped: string) => string,
): string =>
  joined
    ? `if (${at} < params.front) {${body("x", "params.front", "")}
  } else {${body("skip", `(${quads} - params.front)`, " - params.front")}
  }`
    : body("x", quads, "");

/**
 * Where run number `split` of an image's pixels begins: at split * spatial / splits, without that product, which two million pixels in
 * 2048 runs bring past 2^32.
 */
export const beginOfRun = /* wgsl */ `
fn begin_of(split: u32) -> u32 {
  return split * (params.spatial / params.splits) + split * (params.spatial % params.splits) / params.splits;
}
`;
