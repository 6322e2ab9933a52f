import { noTensor } from "../../tensor/no_tensor.js";
import { Tensor } from "../../tensor/tensor.js";
import { RawImage } from "./raw_image.js";

/**
 * Pictures from numbers in [0, 1]: times 255, rounded half to even.
 * @param images [batch, height, width, channels] or [height, width, channels] of 1, 3 or 4 channels; not disposed
 * @throws RangeError for other shapes, TypeError for what is no Tensor
 */
export async function numpyToPil(images: Tensor): Promise<RawImage[]> {
  if (!((images as unknown) instanceof Tensor))
    throw new TypeError(`numpyToPil: takes a Tensor, as calls give for outputType "np", got ${noTensor(images)}`);
  const { shape } = images;
  if (shape.length !== 3 && shape.length !== 4)
    throw new RangeError(
      `numpyToPil: takes [batch, height, width, 3], got [${shape.join(", ")}]; reshape what jit: true returns`,
    );
  return RawImage.fromUnit(await images.data(), shape.length === 3 ? [1, ...shape] : shape);
}
