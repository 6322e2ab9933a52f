/** The pictures that ControlNets read, prepare_image in diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import type { Device } from "../../tensor/device.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { cutSide, preprocess, type ImageInput, type Sizing } from "../images/image_processor.js";
import type { Planes } from "../images/planes.js";

/** Of one ControlNet. */
export type ControlImage = ImageInput | readonly ImageInput[];

/** How they are made as large as what is drawn. */
export interface ControlSizing extends Pick<Sizing, "scaleFactor" | "fit" | "argument"> {
  /** Cut down to multiples of `scaleFactor`; by default those of the pictures. */
  width?: number;
  height?: number;
}

/**
 * In [0, 1], all of one size.
 * @param images one entry for each ControlNet, checked
 * @throws RangeError where the pictures of several ControlNets differ in size
 */
export async function controlPlanes(
  images: readonly ControlImage[],
  { width, height, ...sizing }: ControlSizing,
): Promise<Planes[]> {
  const size = [cutSide(width, sizing.scaleFactor), cutSide(height, sizing.scaleFactor)] as const;
  const planes = await Promise.all(images.map((image) => preprocess(image, { ...sizing, size, normalize: false })));
  const [first, ...others] = planes.map(({ shape: [, , h, w] }) => `${w}x${h}`);
  const other = others.find((each) => each !== first);
  if (other !== undefined)
    throw new RangeError(
      `\`${sizing.argument ?? "image"}\`: the pictures of all ControlNets must have one size, got ${first} and ${other}; give \`height\` and \`width\``,
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
