/** Random numbers for the steps that add noise. */
import { shown } from "../arguments/shown.js";
import { randnTensor } from "../tensor/random.js";
import { Tensor } from "../tensor/tensor.js";

/** What `step` draws from: the library's Generator, or anything that gives standard normal numbers. */
export interface NoiseSource {
  randn(shape: readonly number[], options?: { dtype?: "float32" | "float16" }): Float32Array;
}

/**
 * @param where the method, for messages; none of a pipeline's own call
 * @throws TypeError for anything but a generator, a list of them, or nothing
 */
export function checkGeneratorTypes(generator: unknown, where?: string): void {
  const isGenerator = (each: unknown): boolean => typeof (each as { randn?: unknown } | null)?.randn === "function";
  if (generator === undefined || generator === null || [generator].flat().every(isGenerator)) return;
  const message = `\`generator\` must be a Generator or a list of them, got ${shown(generator)}`;
  throw new TypeError(where === undefined ? message : `${where}: ${message}`);
}

/**
 * Standard normal noise of x's shape and dtype. With a list of generators each draws its own sample, a list of one the
 * whole batch (diffusers' randn_tensor). Without any the numbers differ each time.
 * @throws RangeError if a list is not as long as the batch
 */
export function drawNoise(x: Tensor, source: NoiseSource | readonly NoiseSource[] | null | undefined): Tensor {
  return Tensor.from(drawNoiseData(x, source), x.shape, { dtype: x.dtype, device: x.device });
}

/** The numbers of `drawNoise`, on the CPU. */
export const drawNoiseData = (
  { shape, dtype }: Tensor,
  source: NoiseSource | readonly NoiseSource[] | null | undefined,
): Float32Array => draw(shape, dtype === "float16" ? "float16" : "float32", source);

function draw(
  shape: readonly number[],
  dtype: "float32" | "float16",
  source: NoiseSource | readonly NoiseSource[] | null | undefined,
): Float32Array {
  if (!source) return randnTensor(shape, { dtype });
  if (!isList(source)) return source.randn(shape, { dtype });
  if (source.length === 1) return source[0].randn(shape, { dtype });
  const [batch, ...rest] = shape;
  if (source.length !== batch)
    throw new RangeError(`generator: a list must have one generator per sample, ${batch}, got ${source.length}`);
  const noise = new Float32Array(shape.reduce((a, b) => a * b, 1));
  source.forEach((generator, i) => noise.set(generator.randn([1, ...rest], { dtype }), (i * noise.length) / batch));
  return noise;
}

const isList = (source: NoiseSource | readonly NoiseSource[]): source is readonly NoiseSource[] =>
  Array.isArray(source);
