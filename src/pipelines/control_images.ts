/** The pictures that ControlNets read, prepare_image in diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import type { Device } from "../tensor/device.js";
import { repeatRows } from "../tensor/ops/copy.js";
import { concat } from "../tensor/ops/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { preprocess, type ImageInput } from "./image_processor.js";
import type { Planes } from "./planes.js";

/** Of one ControlNet. */
export type ControlImage = ImageInput | readonly ImageInput[];

/**
 * In [0, 1], all of one size.
 * @param images one entry for each ControlNet, checked
 * @param size cut down to multiples of `scaleFactor`; by default that of the pictures
 * @throws RangeError where the pictures of several ControlNets differ in size
 */
export async function controlPlanes(
  images: readonly ControlImage[],
  { width, height, scaleFactor }: { width?: number; height?: number; scaleFactor: number },
): Promise<Planes[]> {
  const cut = (side?: number): number | undefined => side && side - (side % scaleFactor);
  const size = [cut(width), cut(height)] as const;
  const planes = await Promise.all(images.map((image) => preprocess(image, { scaleFactor, size, normalize: false })));
  const [first, ...others] = planes.map(({ shape: [, , h, w] }) => `${w}x${h}`);
  const other = others.find((each) => each !== first);
  if (other !== undefined)
    throw new RangeError(
      `\`image\`: the pictures of all ControlNets must have one size, got ${first} and ${other}; give \`height\` and \`width\``,
    );
  return planes;
}

/**
 * As a ControlNet takes them: a row for each picture that is drawn, with guidance twice.
 * @param batch pictures that are drawn
 * @param each of them for one prompt
 */
export function controlTensor(
  device: Device,
  { values, shape }: Planes,
  { batch, each, twice }: { batch: number; each: number; twice: boolean },
): Tensor {
  return device.scope(() => {
    const given = Tensor.from(values, shape, { device });
    const times = shape[0] === 1 ? batch : each;
    const rows = times === 1 ? given : repeatRows(given, times);
    return twice ? concat(rows, rows, 0) : rows;
  });
}
