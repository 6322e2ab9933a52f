/** The ways of computing something among which the fastest on a device should be. */
import { placesOf } from "../../../kernels/winograd.js";
import type { Device } from "../device.js";
import { BYTES, formatOf, product } from "../dtype.js";
import { fitsPhases, isWhole3x3, keepsSize3x3, mayKeepPhases, productShape } from "../ops/conv2d_product.js";
import { likelyFlashTiles } from "../ops/flash_attention.js";
import { likelySlicedTiles } from "../ops/tiling.js";
import type { AttentionProblem, Conv2dProblem, MatmulProblem, Problem, Way } from "./problem.js";

/** Tiles that are tried for Winograd's products, which are many and small: those that are the likeliest for each of them. */
const MOST_WINOGRAD_TILES = 4;

/** None where there is no choice. The way of the rules may be among them. */
export function likelyWays(device: Device, problem: Problem): Way[] {
  switch (problem.op) {
    case "matmul":
      return matmulWays(device, problem);
    case "conv2d":
      return conv2dWays(device, problem);
    case "attention":
      return attentionWays(device, problem);
  }
}

function matmulWays(device: Device, { m, n, k, gated, dtype }: MatmulProblem): Way[] {
  const bytes = BYTES[dtype];
  const pairs = gated !== "none";
  const format = formatOf(dtype, device, "matmul");
  const shape = { m, n, k, gated: pairs, format, xBytes: m * k * bytes, wBytes: k * n * bytes };
  return likelySlicedTiles(device, shape, !pairs);
}

function conv2dWays(device: Device, problem: Conv2dProblem): Way[] {
  const { x, w, out, stride, edges, upsample, shortcut, dtype } = problem;
  const [batch, height, width, cin] = x;
  const [kernelHeight, kernelWidth, , cout] = w;
  const size = BYTES[dtype];
  const format = formatOf(dtype, device, "conv2d");
  const weights = { shape: w, bytes: product(w) * size, device };
  const pixels = batch * product(out);
  const xBytes = size * Math.max(product(x), ...shortcut.map((channels) => pixels * channels));
  const operands = { format, xBytes, wBytes: weights.bytes };
  const whole = productShape({ ...operands, pixels, taps: kernelHeight * kernelWidth, cin, cout, others: shortcut });
  const ways: Way[] = likelySlicedTiles(device, whole, true).map((sliced) => ({
    ...sliced,
    winograd: false,
    phases: false,
  }));
  if (upsample && shortcut.length === 0 && fitsPhases(weights, stride, edges) && mayKeepPhases(weights)) {
    const inPhases = productShape({ ...operands, pixels: 4 * batch * height * width, taps: 4, cin, cout, others: [] });
    for (const { tile } of likelySlicedTiles(device, inPhases, false))
      ways.push({ tile, winograd: false, phases: true });
  }
  if (isWhole3x3(weights, stride) && (!upsample || keepsSize3x3(edges))) {
    const tiles = batch * Math.ceil(out[0] / 2) * Math.ceil(out[1] / 2);
    const places = placesOf(upsample) ** 2;
    const shape = { ...operands, m: tiles, n: cout, k: cin, times: places };
    const likely = likelySlicedTiles(device, shape, false);
    for (const { tile } of likely.slice(0, MOST_WINOGRAD_TILES)) ways.push({ tile, winograd: true });
  }
  return ways;
}

function attentionWays(device: Device, { batch, heads, queries, keys, headSize, dtype }: AttentionProblem): Way[] {
  if (headSize % 4 !== 0) return [];
  const format = formatOf(dtype, device, "attention");
  const tiles = likelyFlashTiles(device, format, { queries, keys, headSize, slots: batch * heads });
  return [...tiles.map((flashTile): Way => ({ by: "flash", flashTile })), { by: "scores" }];
}
