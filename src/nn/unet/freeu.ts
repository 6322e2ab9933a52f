/** FreeU (Si et al. 2023, arXiv 2309.11497), apply_freeu and fourier_filter of diffusers/utils/torch_utils.py. */
import { shown } from "../../arguments/shown.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { mixTokens } from "../../tensor/ops/mix_tokens.js";
import { modulate } from "../../tensor/ops/modulate.js";
import { Tensor } from "../../tensor/tensor.js";

/** Factors of the two coarsest up blocks: `b` for what comes from below, `s` for the skip connections. */
export interface FreeUFactors {
  s1: number;
  s2: number;
  b1: number;
  b2: number;
}

/** @throws TypeError naming the factor that is no number, or what there is instead of factors */
export function checkFactors(where: string, factors: FreeUFactors | null | undefined): void {
  if (typeof factors !== "object" || factors === null)
    throw new TypeError(`${where}: takes { s1, s2, b1, b2 }, got ${shown(factors)}`);
  for (const name of ["s1", "s2", "b1", "b2"] as const)
    if (!Number.isFinite(factors[name]))
      throw new TypeError(`${where}: ${name} must be a number, got ${shown(factors[name])}`);
}

export interface FreeUStage {
  /** Multiplies the first half of the channels that come from below. */
  b: number;
  /** Multiplies the low frequencies of the skip connection. */
  s: number;
}

/** @returns hidden and skip as they are to be concatenated; the caller's scope frees what is made on the way */
export function freeU(hidden: Tensor, skip: Tensor, { b, s }: FreeUStage): [Tensor, Tensor] {
  const [batch, , , channels] = hidden.shape;
  const table = new Float32Array(2 * channels).fill(b - 1, 0, channels >> 1);
  const rows = Float32Array.from({ length: batch * table.length }, (_, i) => table[i % table.length]);
  const { device, dtype } = hidden;
  const scaled = modulate(hidden, Tensor.from(rows, [batch, table.length], { dtype, device }));
  // Without a mid block both are one tensor, which diffusers changes in place.
  return [scaled, scaleLowFrequencies(hidden === skip ? scaled : skip, s)];
}

/**
 * Multiplies the spectrum of each channel by `scale` at the frequencies -1 and 0 (in both directions): the box of
 * `threshold` 1 around the middle of the shifted spectrum. Those are at most four frequencies, so instead of a Fourier
 * transform there and back, their part of the image is computed as a projection and added.
 * @param x [batch, height, width, channels]
 */
function scaleLowFrequencies(x: Tensor, scale: number): Tensor {
  const [batch, height, width, channels] = x.shape;
  const pixels = height * width;
  const { device } = x;
  return device.scope(() => {
    const waves = lowWaves(height, width);
    const analysis = new Float32Array(pixels * waves.length);
    waves.forEach((wave, k) => wave.forEach((value, pixel) => (analysis[pixel * waves.length + k] = value / pixels)));
    const synthesis = Float32Array.from(waves.flat());
    const tokens = x.reshape([batch, pixels, channels]);
    const spectrum = mixTokens(tokens, Tensor.from(analysis, [pixels, waves.length], { device }), { dtype: "float32" });
    const low = mixTokens(spectrum, Tensor.from(synthesis, [waves.length, pixels], { device }), { dtype: x.dtype });
    const y = linearCombination([
      [1, tokens],
      [scale - 1, low],
    ]);
    return y.reshape(x.shape);
  });
}

/** cos and sin of every frequency of the box, over the pixels: Re(e^(i(a - b))) = cos a cos b + sin a sin b. */
function lowWaves(height: number, width: number): number[][] {
  const box = (size: number): number[] => (size > 1 ? [0, -1] : [0]);
  const waves: number[][] = [];
  for (const u of box(height))
    for (const v of box(width)) {
      const angles = Array.from(
        { length: height * width },
        (_, i) => 2 * Math.PI * ((u * Math.floor(i / width)) / height + (v * (i % width)) / width),
      );
      waves.push(angles.map(Math.cos));
      if (u !== 0 || v !== 0) waves.push(angles.map(Math.sin));
    }
  return waves;
}
