/** What the UNet sees of depth: prepare_depth_map of diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_depth2img.py. */
import type { DPTForDepthEstimation } from "../../nn/dpt/dpt_for_depth_estimation.js";
import { float16ToFloat32, float32ToFloat16, type DType } from "../../tensor/dtype.js";
import { NumericalError } from "../../tensor/errors.js";
import { Tensor } from "../../tensor/tensor.js";
import { planned } from "../call/planned.js";
import { bicubicPlanes } from "../images/bicubic_planes.js";
import type { DPTImageProcessor } from "../images/dpt_image_processor.js";
import { preprocess, type ImageInput } from "../images/image_processor.js";
import { listOf, type PixelSource } from "../images/pixels.js";
import type { Planes } from "../images/planes.js";

/** Of a pipeline. */
export interface DepthReader {
  estimator: DPTForDepthEstimation;
  processor: DPTImageProcessor;
}

/**
 * The depth that an estimator finds in pictures.
 * @param dtype in which it is given them
 * @returns [pictures, 1, height, width]
 * @throws NumericalError; RangeError for tensors that are no pictures in [0, 1]
 */
export async function estimatedDepth(
  { estimator, processor }: DepthReader,
  image: ImageInput | readonly ImageInput[],
  dtype: DType,
): Promise<Planes> {
  const device = estimator.device!;
  const { pixelValues } = processor(await pixelsOf(image), { device, dtype });
  const depth = device.scope(() => planned(pixelValues, "depth", (x) => estimator.forward(x).predictedDepth));
  try {
    return await readDepth(depth, "depth_estimator");
  } finally {
    for (const each of [pixelValues, depth]) each.dispose();
    device.trim();
  }
}

/**
 * The numbers of a map, [maps, height, width].
 * @param module whose they are
 * @throws NumericalError for numbers that are infinite or NaN
 */
export async function readDepth(depth: Tensor, module: string): Promise<Planes> {
  const values = Float32Array.from(await depth.data());
  if (!values.every(Number.isFinite)) throw new NumericalError({ module });
  const [maps, height, width] = depth.shape;
  return { values, shape: [maps, 1, height, width] };
}

/**
 * Depth as the UNet sees it: of the latents' size, each map from -1 to 1.
 * @param dtype in which diffusers computes it
 * @param size of the latents
 * @throws RangeError for a map that is the same everywhere: nothing is nearer
 */
export function normalizedDepth(
  depth: Planes,
  dtype: DType,
  { height, width }: { height: number; width: number },
  { isBlank = false } = {},
): Planes {
  const round = (values: Float32Array): Float32Array =>
    dtype === "float16" ? float16ToFloat32(float32ToFloat16(values)) : values;
  const { values, shape } = bicubicPlanes({ ...depth, values: round(depth.values) }, height, width);
  const sized = round(values);
  const plane = height * width;
  for (let i = 0; i < shape[0]; i++) {
    const map = sized.subarray(i * plane, (i + 1) * plane);
    const low = map.reduce((a, b) => Math.min(a, b));
    const [range] = round(Float32Array.of(map.reduce((a, b) => Math.max(a, b)) - low));
    if (range === 0 && !isBlank)
      throw new RangeError(
        `the depth of picture ${i} is ${low} everywhere, which says nothing of it; give another \`depthMap\``,
      );
    const twice = round(round(map.map((x) => x - low)).map((x) => 2 * x));
    map.set(round(round(twice.map((x) => x / range)).map((x) => x - 1)));
  }
  return { values: sized, shape };
}

/** Pictures as an image processor takes them: numbers of tensors become bytes. */
async function pixelsOf(image: ImageInput | readonly ImageInput[]): Promise<PixelSource[]> {
  const list = listOf(image) as readonly ImageInput[];
  if (!(list[0] instanceof Tensor)) return list as PixelSource[];
  const { values, shape } = await preprocess(list, { scaleFactor: 1, normalize: false });
  const [count, , height, width] = shape;
  if (values.some((x) => !(x >= 0 && x <= 1)))
    throw new RangeError("`image` must be of numbers in [0, 1] for the depth to be estimated; or give `depthMap`");
  const plane = height * width;
  return Array.from({ length: count }, (_, i) => ({
    width,
    height,
    data: Uint8ClampedArray.from({ length: 3 * plane }, (__, at) =>
      Math.trunc(Math.fround(255 * values[(3 * i + (at % 3)) * plane + Math.floor(at / 3)])),
    ),
  }));
}
