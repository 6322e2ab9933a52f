/** What transformers' image processors have in common (image_processing_backends.py, PilBackend): pictures to normalized tensors. */
import { Callable } from "../../loader/callable.js";
import { readClassConfig, type ConfigPlace } from "../../loader/class_config.js";
import { toJSONString } from "../../loader/config_json.js";
import type { RepositorySource } from "../../loader/repository.js";
import { takeSaveOptions } from "../../loader/save_options.js";
import { inFolder, saveInto, saveText, type SaveTarget } from "../../loader/save_target.js";
import { Tensor, type TensorOptions } from "../../tensor/tensor.js";
import type { ImageProcessorConfig } from "./image_processor_config.js";
import { checkPixels, listOf, type PixelSource } from "./pixels.js";

/** What an image processor makes of pictures. */
export interface ImageProcessorOutput {
  /** float32 [pictures, 3, height, width] (or the dtype that was asked for). The caller disposes it. */
  pixelValues: Tensor;
}

const CONFIG_NAME = "preprocessor_config.json";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface BaseImageProcessor {
  (images: PixelSource | readonly PixelSource[], options?: TensorOptions | null): ImageProcessorOutput;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export abstract class BaseImageProcessor extends Callable {
  declare static readonly className: string;
  abstract readonly config: ImageProcessorConfig;

  /**
   * Reads preprocessor_config.json.
   * @param source folder, id on the hub, address; see openRepository
   * @throws RepositoryError, ConfigError naming the file; TypeError for wrong options, and naming a key of the config
   */
  static async fromPretrained<P extends BaseImageProcessor>(
    this: { new (config: Readonly<Record<string, unknown>>): P; readonly className: string },
    source: RepositorySource,
    place?: ConfigPlace | null,
  ): Promise<P> {
    return new this(await readClassConfig(`${this.className}.fromPretrained`, CONFIG_NAME, source, place));
  }

  /** A picture in RGB and of the size that the model takes. */
  protected abstract prepared(image: PixelSource): PixelSource;

  /** The key of the config by which pictures stay of different sizes, for messages. */
  protected abstract readonly sizeKey: string;

  /**
   * What `processor(images, options)` does.
   * @param images of any sizes
   * @throws TypeError, RangeError for what is no picture, and for pictures that do not become of one size
   */
  override call(images: PixelSource | readonly PixelSource[], options?: TensorOptions | null): ImageProcessorOutput {
    const { className } = this;
    const wanted = `${className}: takes a picture { width, height, data } (RawImage, ImageData) or a list of them`;
    const list = listOf(images);
    if (list.length === 0) throw new TypeError(`${wanted}, got an empty list`);
    const ready = list.map((image) => {
      checkPixels("images", wanted, image);
      return this.prepared(image);
    });
    const [{ width, height }] = ready;
    const other = ready.find((each) => each.width !== width || each.height !== height);
    if (other)
      throw new RangeError(
        `${className}: pictures must become of one size, got ${width}x${height} and ${other.width}x${other.height} ` +
          `(config ${this.sizeKey} = ${String((this.config as unknown as Record<string, unknown>)[this.sizeKey])})`,
      );
    const values = new Float32Array(ready.length * 3 * width * height);
    ready.forEach(({ data }, i) => this.#normalize(data, values.subarray(i * data.length, (i + 1) * data.length)));
    return { pixelValues: Tensor.from(values, [ready.length, 3, height, width], options) };
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

  /** The class's name, for files and messages. */
  get className(): string {
    return (this.constructor as typeof BaseImageProcessor).className;
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
    takeSaveOptions(this.className, options);
    await saveInto(destination, `${this.className}.savePretrained`, (target) => this.saveTo(target, ""));
  }

  /** Writes the file of savePretrained() into a folder of `target`. */
  saveTo(target: SaveTarget, folder: string): Promise<void> {
    return saveText(target, inFolder(folder, CONFIG_NAME), this.toJsonString());
  }

  /** The file of savePretrained(): `to_json_string()`. */
  toJsonString(): string {
    return `${toJSONString({ ...this.config, image_processor_type: this.className })}\n`;
  }

  /** As Python prints it: the class's name, `{…json…}` and a newline. */
  override toString(): string {
    return `${this.className} ${this.toJsonString()}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}
