/**
 * Whether an adapter computes right, which can only be seen on it: the parts of the package's model by their fast kernels against
 * the reference kernels on the same adapter, and a whole picture against that of diffusers.
 */
import { readFile } from "node:fs/promises";
import { DDIMScheduler, EMBEDDED_MODEL, Generator, StableDiffusionPipeline, Tensor, type Device } from "../index.js";
import { UNetSteps } from "../nn/unet/unet_steps.js";

/** How diffusers drew models/self_test.rgb, in float32 (scripts/make_self_test.mjs). */
const PROMPT = "a red circle on a white background";
const DRAWN = { numInferenceSteps: 25, guidanceScale: 3 };
const SEED = 8;

/** Of the largest difference to the spread of the reference's numbers: sums in another order, and what halves round. */
const TOLERANCE = { float32: 1e-4, float16: 5e-2 };
/** Of a picture's mean difference, in steps of 255. */
const STEP = 1;

/** One comparison. */
export interface SelfTestResult {
  dtype: "float32" | "float16";
  /** What was computed. */
  what: "text encoder" | "UNet step" | "VAE decode" | "picture";
  /** How far off it is, and how far it may be; NaN is wrong. */
  error: number;
  tolerance: number;
}

export const isRight = ({ error, tolerance }: SelfTestResult): boolean => error <= tolerance;

/**
 * Runs all comparisons, in both dtypes.
 * @throws the signal's reason
 */
export async function* selfTest(device: Device, signal: AbortSignal): AsyncGenerator<SelfTestResult> {
  const wanted = await readFile(new URL("../self_test.rgb", EMBEDDED_MODEL));
  for (const dtype of ["float32", "float16"] as const) {
    const pipeline = await StableDiffusionPipeline.fromPretrained(EMBEDDED_MODEL, { device, dtype, signal });
    try {
      pipeline.setProgressBarConfig({ disable: true });
      pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
      for await (const [what, error] of partErrors(pipeline, signal))
        yield { dtype, what, error, tolerance: TOLERANCE[dtype] };
      const generator = new Generator("cpu").manualSeed(SEED);
      const { images } = await pipeline(PROMPT, { ...DRAWN, generator, signal });
      yield { dtype, what: "picture", error: meanDifference(images[0].data, wanted), tolerance: STEP };
    } finally {
      pipeline.dispose();
    }
  }
}

async function* partErrors(
  pipeline: StableDiffusionPipeline,
  signal: AbortSignal,
): AsyncGenerator<[what: SelfTestResult["what"], error: number]> {
  const { device, unet, vae } = pipeline;
  /** The same numbers by both kinds of kernels: how much they differ. */
  const compare = async (compute: () => Promise<Tensor> | Tensor): Promise<number> => {
    signal.throwIfAborted();
    const reference = await byReference(device, async () => taken(await compute()));
    return relativeError(await taken(await compute()), reference);
  };
  const encoded = async (): Promise<Tensor> =>
    (await pipeline.encodePrompt([PROMPT, ""], { doClassifierFreeGuidance: false }))[0];
  const context = await encoded();
  const side = unet.config.sample_size as number;
  const shape = [2, unet.config.in_channels, side, side];
  const latents = Tensor.from(new Generator("cpu").manualSeed(SEED).randn(shape), shape, { device });
  // Recorded and replayed, as in a picture.
  const steps = new UNetSteps(unet, device);
  try {
    yield ["text encoder", await compare(encoded)];
    const predicted = (): Tensor => {
      if (device.plainKernels) return device.scope(() => unet.forward(latents, 500, context).sample);
      steps.predict(latents, 20, context).dispose();
      return steps.predict(latents, 500, context);
    };
    yield ["UNet step", await compare(predicted)];
    yield ["VAE decode", await compare(() => vae.decode(latents).sample)];
  } finally {
    steps.dispose();
    for (const tensor of [latents, context]) tensor.dispose();
  }
}

async function byReference<T>(device: Device, work: () => Promise<T>): Promise<T> {
  const { plainKernels } = device;
  Object.assign(device, { plainKernels: true });
  try {
    return await work();
  } finally {
    Object.assign(device, { plainKernels });
  }
}

async function taken(tensor: Tensor): Promise<Float32Array> {
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}

/** The largest difference over the standard deviation of the reference; NaN where any number is. */
function relativeError(values: Float32Array, reference: Float32Array): number {
  const mean = reference.reduce((sum, value) => sum + value, 0) / reference.length;
  const variance = reference.reduce((sum, value) => sum + (value - mean) ** 2, 0) / reference.length;
  // Math.max keeps NaN.
  return reference.reduce((worst, value, i) => Math.max(worst, Math.abs(values[i] - value)), 0) / Math.sqrt(variance);
}

function meanDifference(values: Uint8ClampedArray, wanted: Uint8Array): number {
  if (values.length !== wanted.length) return NaN;
  return values.reduce((sum, value, i) => sum + Math.abs(value - wanted[i]), 0) / values.length;
}
