/** Random numbers for the steps that add noise. */
import { Tensor } from "../tensor/tensor.js";

/** What `step` draws from: the library's Generator, or anything that gives standard normal numbers. */
export interface NoiseSource {
  randn(shape: readonly number[]): Float32Array;
}

/**
 * Standard normal noise of x's shape and dtype. With a list of generators each draws its own sample, a list of one the
 * whole batch (diffusers' randn_tensor).
 * @throws RangeError if a list is not as long as the batch
 */
export function drawNoise(x: Tensor, source: NoiseSource | readonly NoiseSource[] | null | undefined): Tensor {
  return Tensor.from(draw(x.shape, source), x.shape, { dtype: x.dtype, device: x.device });
}

function draw(shape: readonly number[], source: NoiseSource | readonly NoiseSource[] | null | undefined): Float32Array {
  if (!source) return unseeded(shape);
  if (!isList(source)) return source.randn(shape);
  if (source.length === 1) return source[0].randn(shape);
  const [batch, ...rest] = shape;
  if (source.length !== batch)
    throw new RangeError(`generator: a list must have one generator per sample, ${batch}, got ${source.length}`);
  const noise = new Float32Array(shape.reduce((a, b) => a * b, 1));
  source.forEach((generator, i) => noise.set(generator.randn([1, ...rest]), (i * noise.length) / batch));
  return noise;
}

const isList = (source: NoiseSource | readonly NoiseSource[]): source is readonly NoiseSource[] => Array.isArray(source);

/** Box-Muller over Math.random: nobody asked for numbers that can be had again. */
function unseeded(shape: readonly number[]): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: size }, () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}
