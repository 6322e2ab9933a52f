import { shown } from "../../arguments/shown.js";
import { Callable } from "../../loader/callable.js";
import { readClassConfig, type ConfigPlace } from "../../loader/class_config.js";
import { toJSONString } from "../../loader/config_json.js";
import type { RepositorySource } from "../../loader/repository.js";
import { takeSaveOptions } from "../../loader/save_options.js";
import { inFolder, saveInto, saveText, type SaveTarget } from "../../loader/save_target.js";
import { Tensor, type TensorOptions } from "../../tensor/tensor.js";
import { processorConfig, type CLIPImageProcessorConfig } from "./clip_image_processor_config.js";
import { onWhite } from "./overlay.js";
import { checkPixels, listOf, rgbOf, type PixelSource } from "./pixels.js";
import { resample } from "./resample.js";

/** What a CLIPImageProcessor makes of pictures. */
export interface CLIPImageProcessorOutput {
  /** float32 [pictures, 3, height, width] (or the dtype that was asked for). The caller disposes it. */
  pixelValues: Tensor;
}

const CONFIG_NAME = "preprocessor_config.json";
const WANTED = "CLIPImageProcessor: takes a picture { width, height, data } (RawImage, ImageData) or a list of them";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface CLIPImageProcessor {
  (images: PixelSource | readonly PixelSource[], options?: TensorOptions | null): CLIPImageProcessorOutput;
}

/**
 * Makes pictures as CLIP's vision models take them: resized, cut out of the middle, normalized; to the bit as transformers'
 * CLIPImageProcessor without torchvision (models/clip/image_processing_pil_clip.py), whose resizing is Pillow's; with torchvision 0.4 % of
 * the bytes of a resized picture differ by one.
 * @example
 * const processor = await CLIPImageProcessor.fromPretrained(folder, { subfolder: "feature_extractor" });
 * const { pixelValues } = processor(images); // [images.length, 3, 224, 224]
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class CLIPImageProcessor extends Callable {
  static readonly className = "CLIPImageProcessor";
  readonly config: CLIPImageProcessorConfig;

  /**
   * @param config the content of preprocessor_config.json, or a part of it
   * @throws TypeError naming a key whose value nothing here computes
   */
  constructor(config: Readonly<Record<string, unknown>> = {}) {
    super();
    this.config = processorConfig(CLIPImageProcessor.className, config);
  }

  /**
   * Reads preprocessor_config.json.
   * @param source folder, id on the hub, address; see openRepository
   * @throws RepositoryError, ConfigError naming the file; TypeError for wrong options, and naming a key of the config
   */
  static async fromPretrained(source: RepositorySource, place?: ConfigPlace | null): Promise<CLIPImageProcessor> {
    const caller = `${CLIPImageProcessor.className}.fromPretrained`;
    return new CLIPImageProcessor(await readClassConfig(caller, CONFIG_NAME, source, place));
  }

  /**
   * What `processor(images, options)` does.
   * @param images of any sizes; alpha is taken for transparency over white
   * @throws TypeError, RangeError for what is no picture, and for pictures that do not become of one size
   */
  override call(
    images: PixelSource | readonly PixelSource[],
    options?: TensorOptions | null,
  ): CLIPImageProcessorOutput {
    const list = listOf(images);
    if (list.length === 0) throw new TypeError(`${WANTED}, got an empty list`);
    const ready = list.map((image) => {
      checkPixels("images", WANTED, image);
      return this.#cropped(this.#resized(this.#inColour(image)));
    });
    const [{ width, height }] = ready;
    const other = ready.find((each) => each.width !== width || each.height !== height);
    if (other)
      throw new RangeError(
        `CLIPImageProcessor: pictures must become of one size, got ${width}x${height} and ${other.width}x${other.height} ` +
          `(config do_center_crop = ${shown(this.config.do_center_crop)})`,
      );
    const values = new Float32Array(ready.length * 3 * width * height);
    ready.forEach(({ data }, i) => this.#normalize(data, values.subarray(i * data.length, (i + 1) * data.length)));
    return { pixelValues: Tensor.from(values, [ready.length, 3, height, width], options) };
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

  /** @param data pixel by pixel @param values plane by plane */
  #normalize(data: ArrayLike<number>, values: Float32Array): void {
    const { do_rescale, rescale_factor: factor, do_normalize, image_mean: mean, image_std: std } = this.config;
    const { fround } = Math;
    const size = data.length / 3;
    for (let c = 0; c < 3; c++) {
      const [middle, spread] = [fround(mean[c]), fround(std[c])];
      for (let p = 0; p < size; p++) {
        const value = do_rescale ? fround(data[3 * p + c] * factor) : data[3 * p + c];
        values[c * size + p] = do_normalize ? fround(value - middle) / spread : value;
      }
    }
  }

  /**
   * Writes preprocessor_config.json, as transformers does.
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param options there are none; what is given is warned of
   */
  async savePretrained(
    destination: string | SaveTarget,
    options?: Readonly<Record<string, never>> | null,
  ): Promise<void> {
    takeSaveOptions(CLIPImageProcessor.className, options);
    await saveInto(destination, "CLIPImageProcessor.savePretrained", (target) => this.saveTo(target, ""));
  }

  /** Writes the file of savePretrained() into a folder of `target`. */
  saveTo(target: SaveTarget, folder: string): Promise<void> {
    return saveText(target, inFolder(folder, CONFIG_NAME), this.toJsonString());
  }

  /** The file of savePretrained(): `to_json_string()`. */
  toJsonString(): string {
    return `${toJSONString({ ...this.config, image_processor_type: CLIPImageProcessor.className })}\n`;
  }

  /** As Python prints it: `CLIPImageProcessor {…json…}` and a newline. */
  override toString(): string {
    return `${CLIPImageProcessor.className} ${this.toJsonString()}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
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
