/** Random numbers for the steps that add noise. */
import { shown } from "../arguments/shown.js";
import type { DType } from "../tensor/dtype.js";
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

/** What a step draws from: one for the batch, or one per sample; without any the numbers differ each time. */
type Sources = NoiseSource | readonly NoiseSource[] | null | undefined;

/** Draws in half precision what does not say otherwise. */
export class HalfNoise implements NoiseSource {
  constructor(readonly source: NoiseSource) {}

  randn(shape: readonly number[], { dtype = "float16" }: { dtype?: "float32" | "float16" } = {}): Float32Array {
    return this.source.randn(shape, { dtype });
  }
}

/**
 * What the steps of a loop draw from. diffusers' steps draw in the dtype of the model's output, and in half precision torch draws other
 * numbers where their count is no multiple of 16; here predictions are float32, whatever the model's weights.
 * @param dtype of the model
 */
export function stepNoise<S extends Sources>(dtype: DType, sources: S): S | HalfNoise | HalfNoise[] {
  if (dtype !== "float16" || !sources) return sources;
  return isList(sources) ? sources.map((each) => new HalfNoise(each)) : new HalfNoise(sources);
}

/**
 * Standard normal noise of x's shape and dtype. With a list of generators each draws its own sample, a list of one the
 * whole batch (diffusers' randn_tensor). Without any the numbers differ each time.
 * @param dtype in which to draw, where it is not left to x and the generator
 * @throws RangeError if a list is not as long as the batch
 */
export function drawNoise(x: Tensor, source: Sources, dtype?: "float32"): Tensor {
  return Tensor.from(drawNoiseData(x, source, dtype), x.shape, { dtype: x.dtype, device: x.device });
}

/** The numbers of `drawNoise`, on the CPU. */
export const drawNoiseData = (x: Tensor, source: Sources, dtype?: "float32"): Float32Array =>
  draw(x.shape, dtype ?? (x.dtype === "float16" ? "float16" : undefined), source);

function draw(shape: readonly number[], dtype: "float32" | "float16" | undefined, source: Sources): Float32Array {
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

const isList = (source: Sources): source is readonly NoiseSource[] => Array.isArray(source);
