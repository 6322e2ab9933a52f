/** What inpainting begins with: steps 5 to 8 of diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_inpaint.py. */
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { cast } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { preprocess, type Fit, type ImageInput } from "../images/image_processor.js";
import { masked, preprocessMask, type MaskInput } from "../images/mask_processor.js";
import { nearest, type Planes } from "../images/planes.js";
import type { CallOptions } from "./check_inputs.js";
import { afterEncoding, encodeImage, repeatedTo, skipEncoding, type Encoder } from "./encode_image.js";
import { noiseAdder } from "./image_latents.js";
import { checkGenerators, expectShape, firstGenerators, initialNoise } from "./initial_noise.js";
import { Inpainting, type InpaintTensors } from "./inpainting.js";

/** The arguments of a call, checked. */
export interface InpaintSource {
  image: ImageInput | readonly ImageInput[];
  mask: MaskInput | readonly MaskInput[];
  maskedImageLatents: Tensor | undefined;
  /** Pixels that are drawn. */
  size: readonly [width: number, height: number];
  fit: Fit;
  strength: number;
}

interface Wanted {
  batch: number;
  /** In which pictures are encoded and noise is drawn. */
  dtype: DType;
  generator: CallOptions["generator"];
  latents: Tensor | undefined;
  scheduler: Scheduler;
  /** Whose noise is added to the picture; null where none is. */
  timestep: number | null;
  /** Whether the UNet takes each picture twice. */
  guided: boolean;
}

/**
 * @param seesMask whether the UNet takes the mask as channels of its input
 * @returns latents [batch, latent channels, height, width] as the first timestep wants them, float32, and what the loop needs besides
 * @throws RangeError where pictures and masks do not go together or into the batch
 */
export async function inpaintLatents(
  encoder: Encoder,
  source: InpaintSource,
  { seesMask, batch, dtype, generator, latents: given, scheduler, timestep, guided }: Wanted & { seesMask: boolean },
): Promise<{ latents: Tensor; channels: Inpainting }> {
  const { className, device, latentChannels, vaeScaleFactor: scaleFactor } = encoder;
  const { size, fit, strength, maskedImageLatents: givenMasked } = source;
  checkGenerators(generator, batch);
  const asItIs = timestep === null;
  const isNoised = !asItIs && given === undefined && strength < 1;
  const addNoise = isNoised || !seesMask ? noiseAdder(className, scheduler) : null;
  const [width, height] = size.map((side) => Math.floor(side / scaleFactor));
  const shape = [batch, latentChannels, height, width];
  const pictures = await preprocess(source.image, { scaleFactor, latentChannels, size, fit });
  const mask = await preprocessMask(source.mask, size, fit);
  for (const [name, count] of [
    ["image", pictures.shape[0]],
    ["maskImage", mask.shape[0]],
  ] as const)
    if (batch % count !== 0)
      throw new RangeError(`Cannot duplicate \`${name}\` of batch size ${count} to ${batch} text prompts.`);
  const isLatents = pictures.shape[1] === latentChannels;
  if (isLatents) expectSize("image", pictures.shape, shape);
  if (given && !asItIs) expectShape(given, shape);
  if (givenMasked) expectSize("maskedImageLatents", givenMasked.shape, shape);
  if (isLatents && seesMask && !givenMasked)
    throw new TypeError(
      `${className}: with latents as \`image\`, \`maskedImageLatents\` are needed, too: nothing is left to be encoded without the mask`,
    );

  const upload = ({ values, shape: of }: Planes, as: DType): Tensor => Tensor.from(values, of, { device, dtype: as });
  const encode = (planes: Planes): Tensor =>
    encodeImage(encoder, upload(planes, dtype), firstGenerators(generator, planes.shape[0]));
  // The order is that in which diffusers draws from the generator: the picture, the noise, the masked picture.
  const begun = device.scope(() => {
    const clean =
      seesMask && !asItIs && !isNoised
        ? null
        : repeatedTo(batch, isLatents ? upload(pictures, "float32") : encode(pictures));
    const noise = given && !asItIs ? cast(given, "float32") : initialNoise(device, shape, { generator, dtype });
    const begin = (): Tensor => {
      if (asItIs) return linearCombination([[1, clean!]]);
      return isNoised ? addNoise!(clean!, noise, timestep) : linearCombination([[scheduler.initNoiseSigma, noise]]);
    };
    const latents = begin();
    const twice = (x: Tensor): Tensor => (guided ? concat(x, x, 0) : x);
    let maskedLatents: Tensor | null = null;
    if (seesMask)
      maskedLatents = repeatedTo(batch, givenMasked ? cast(givenMasked, "float32") : encode(masked(pictures, mask)));
    else if (!givenMasked && !isLatents) {
      const count = Math.max(pictures.shape[0], mask.shape[0]);
      skipEncoding(encoder, [count, ...shape.slice(1)], firstGenerators(generator, count));
    }
    const tensors: InpaintTensors = {
      mask: twice(repeatedTo(batch, upload(nearest(mask, height, width), "float32"))),
      maskedImageLatents: maskedLatents && twice(maskedLatents),
      original: !seesMask && clean ? { latents: clean, noise } : null,
    };
    return { latents, tensors };
  });
  const channels = new Inpainting(begun.tensors, addNoise);
  await afterEncoding(device, [begun.latents, channels]);
  return { latents: begun.latents, channels };
}

/** @throws RangeError unless latents have the size that is drawn, and go into the batch */
function expectSize(name: string, latents: readonly number[], shape: readonly number[]): void {
  if (latents.slice(1).join() !== shape.slice(1).join() || shape[0] % latents[0] !== 0)
    throw new RangeError(
      `\`${name}\` must be [${shape.join(", ")}] for these prompts and this size, got [${latents.join(", ")}]`,
    );
}
