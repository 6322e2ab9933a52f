import { BaseImageProcessor } from "./base_image_processor.js";
import { clipProcessorConfig, type CLIPImageProcessorConfig } from "./clip_image_processor_config.js";
import { onWhite } from "./overlay.js";
import { rgbOf, type PixelSource } from "./pixels.js";
import { resample } from "./resample.js";

/**
 * Makes pictures as CLIP's vision models take them: resized, cut out of the middle, normalized; to the bit as transformers'
 * CLIPImageProcessor without torchvision (models/clip/image_processing_pil_clip.py), whose resizing is Pillow's; with torchvision 0.4 % of
 * the bytes of a resized picture differ by one. Alpha is taken for transparency over white.
 * @example
 * const processor = await CLIPImageProcessor.fromPretrained(folder, { subfolder: "feature_extractor" });
 * const { pixelValues } = processor(images); // [images.length, 3, 224, 224]
 */
export class CLIPImageProcessor extends BaseImageProcessor {
  static override readonly className = "CLIPImageProcessor";
  readonly config: CLIPImageProcessorConfig;
  protected readonly sizeKey = "do_center_crop";

  /**
   * @param config the content of preprocessor_config.json, or a part of it
   * @throws TypeError naming a key whose value nothing here computes
   */
  constructor(config: Readonly<Record<string, unknown>> = {}) {
    super();
    this.config = clipProcessorConfig(CLIPImageProcessor.className, config);
  }

  protected prepared(image: PixelSource): PixelSource {
    return this.#cropped(this.#resized(this.#inColour(image)));
  }

  #inColour(image: PixelSource): PixelSource {
    const channels = image.data.length / image.width / image.height;
    if (channels !== 3 && !this.config.do_convert_rgb)
      throw new RangeError(
        `CLIPImageProcessor: the config says do_convert_rgb = false, so pictures must be RGB, got ${channels} channels`,
      );
    const { width, height } = image;
    return { width, height, data: channels === 4 ? onWhite(image.data) : rgbOf(image) };
  }

  #resized(image: PixelSource): PixelSource {
    const { do_resize, size, resample: filter } = this.config;
    if (!do_resize) return image;
    const [width, height] = "height" in size ? [size.width, size.height] : withEdge(image, size.shortest_edge);
    const from = [image.width, image.height] as const;
    const data = resample(
      image.data as Uint8ClampedArray,
      from,
      [width, height],
      3,
      filter === 1 ? "lanczos" : "bicubic",
    );
    return { width, height, data };
  }

  /** The middle, in a black frame where it is smaller. */
  #cropped(image: PixelSource): PixelSource {
    const { do_center_crop, crop_size: size } = this.config;
    if (!do_center_crop) return image;
    const { width, height } = size;
    const left = offset(image.width, width);
    const top = offset(image.height, height);
    const data = new Uint8ClampedArray(3 * width * height);
    for (let y = Math.max(0, -top); y < Math.min(height, image.height - top); y++)
      for (let x = Math.max(0, -left); x < Math.min(width, image.width - left); x++)
        for (let c = 0; c < 3; c++)
          data[3 * (y * width + x) + c] = image.data[3 * ((y + top) * image.width + x + left) + c];
    return { width, height, data };
  }
}

/** The size with this shortest edge, in the picture's proportions. */
function withEdge({ width, height }: PixelSource, edge: number): [width: number, height: number] {
  const long = Math.trunc((edge * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [edge, long] : [long, edge];
}

/** Of the frame in the picture, negative where it reaches beyond; of an odd rest, transformers has one pixel more before the picture. */
const offset = (from: number, to: number): number =>
  to <= from ? Math.floor((from - to) / 2) : -Math.ceil((to - from) / 2);
