import { BaseImageProcessor } from "./base_image_processor.js";
import { dptProcessorConfig, type DPTImageProcessorConfig } from "./dpt_image_processor_config.js";
import { rgbOf, type PixelSource } from "./pixels.js";
import { resample, type FilterName } from "./resample.js";

/** By Pillow's numbers. */
const FILTERS: Readonly<Record<number, FilterName>> = { 1: "lanczos", 2: "bilinear", 3: "bicubic" };

/**
 * Makes pictures as DPT takes them: resized and normalized; to the bit as transformers' DPTImageProcessor (once DPTFeatureExtractor) without
 * torchvision (models/dpt/image_processing_pil_dpt.py), whose resizing is Pillow's. Grey becomes RGB, alpha is dropped.
 * @example
 * const processor = await DPTImageProcessor.fromPretrained(folder, { subfolder: "feature_extractor" });
 * const { pixelValues } = processor(images); // [images.length, 3, 384, 384]
 */
export class DPTImageProcessor extends BaseImageProcessor {
  static override readonly className = "DPTImageProcessor";
  readonly config: DPTImageProcessorConfig;
  protected readonly sizeKey = "keep_aspect_ratio";

  /**
   * @param config the content of preprocessor_config.json, or a part of it
   * @throws TypeError naming a key whose value nothing here computes
   */
  constructor(config: Readonly<Record<string, unknown>> = {}) {
    super();
    this.config = dptProcessorConfig(DPTImageProcessor.className, config);
  }

  protected prepared(image: PixelSource): PixelSource {
    const { do_resize, resample: filter } = this.config;
    const from = [image.width, image.height] as const;
    const data = rgbOf(image);
    if (!do_resize) return { width: image.width, height: image.height, data };
    const [width, height] = this.#sizeOf(image);
    return { width, height, data: resample(data, from, [width, height], 3, FILTERS[filter]) };
  }

  /** get_resize_output_image_size() of Python's. @throws RangeError where nothing would be left */
  #sizeOf({ width, height }: PixelSource): [width: number, height: number] {
    const { size, keep_aspect_ratio, ensure_multiple_of: unit } = this.config;
    let [x, y] = [size.width / width, size.height / height];
    // As little scaling as can be.
    if (keep_aspect_ratio) [x, y] = Math.abs(1 - x) < Math.abs(1 - y) ? [x, x] : [y, y];
    const sides = [x * width, y * height].map((side) => roundHalfEven(side / unit) * unit) as [number, number];
    if (sides.includes(0))
      throw new RangeError(
        `${this.className}: a picture of ${width}x${height} pixels would become ${sides.join("x")} (config ensure_multiple_of = ${unit})`,
      );
    return sides;
  }
}

/** Python's round(). */
function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}
