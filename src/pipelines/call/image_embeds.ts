/** Pictures as points in CLIP's space, where a call's UNet looks for them; IP-Adapters have their own in adapters/image_prompts.ts. */
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { checkPixels, listOf, type PixelSource } from "../images/pixels.js";
import { needComponent } from "../loading/needed_components.js";

/** A picture, a list of them, or a Tensor [batch, 3, size, size] of pictures as the image encoder takes them, of a CLIPImageProcessor. */
export type EncodedImage = PixelSource | readonly PixelSource[] | Tensor;

/** What reads pictures, of a pipeline. */
interface PictureReader {
  className: string;
  device: Device;
  image_encoder: CLIPVisionModelWithProjection | null;
  feature_extractor: CLIPImageProcessor | null;
}

const NEEDS = {
  image_encoder: { classes: [CLIPVisionModelWithProjection], purpose: "to read `image`" },
  feature_extractor: {
    classes: [CLIPImageProcessor],
    purpose: "to read `image`; a Tensor of pixelValues does without",
  },
};

/** @throws TypeError, RangeError for what is no picture, and where nothing reads it, before anything is drawn */
export function checkEncodedImage(reader: PictureReader, image: unknown): asserts image is EncodedImage {
  const wanted =
    "`image` must be a picture { width, height, data } (RawImage, ImageData), a list of them, or a Tensor [batch, 3, size, size] of " +
    "a CLIPImageProcessor";
  needComponent(reader.className, "image_encoder", reader.image_encoder, NEEDS.image_encoder);
  if (image instanceof Tensor) {
    if (image.dtype === "int32" || image.shape.length !== 4) throw new RangeError(`${wanted}, got ${String(image)}`);
    if (image.device !== reader.device)
      throw new TypeError(`${wanted}, on the pipeline's device, but it is on another`);
    return;
  }
  needComponent(reader.className, "feature_extractor", reader.feature_extractor, NEEDS.feature_extractor);
  const list = listOf(image);
  if (list.length === 0) throw new TypeError(`${wanted}, got an empty list`);
  for (const each of list) checkPixels("image", wanted, each);
}

/** How many pictures there are. */
export const imageCount = (image: EncodedImage): number =>
  image instanceof Tensor ? image.shape[0] : listOf(image).length;

/**
 * @param image checked by checkEncodedImage()
 * @returns [pictures, projection_dim] in the encoder's dtype; the caller (or its scope) disposes it
 */
export function encodeImageEmbeds(reader: PictureReader, image: EncodedImage): Tensor {
  const { device, image_encoder: encoder, feature_extractor: processor } = reader;
  const model = encoder as CLIPVisionModelWithProjection;
  return device.scope(() => {
    const { dtype } = model;
    const pixels = image instanceof Tensor ? image : processor!(image, { device, dtype }).pixelValues;
    return model.forward(pixels).imageEmbeds;
  });
}
