/** The content of preprocessor_config.json of DPT's image processors. */
import {
  isBoolean,
  isSide,
  isSides,
  processorConfig,
  square,
  type ImageProcessorConfig,
  type Sides,
  type Values,
} from "./image_processor_config.js";

/** What is done to pictures, in this order: resize, rescale, normalize. */
export interface DPTImageProcessorConfig extends ImageProcessorConfig {
  readonly do_resize: boolean;
  readonly size: Sides;
  /** Pillow's number of a filter: 1, Lanczos', 2, bilinear, or 3, bicubic. */
  readonly resample: number;
  /** Whether pictures keep their proportions: one side gets its size then. */
  readonly keep_aspect_ratio: boolean;
  /** To multiples of it sides are rounded. */
  readonly ensure_multiple_of: number;
  readonly do_pad: boolean;
}

const DEFAULTS: DPTImageProcessorConfig = {
  do_resize: true,
  size: { height: 384, width: 384 },
  resample: 3,
  keep_aspect_ratio: false,
  ensure_multiple_of: 1,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_std: [0.229, 0.224, 0.225],
  do_pad: false,
};

/** @throws TypeError naming a key whose value nothing here computes */
export const dptProcessorConfig = (className: string, given: Values): DPTImageProcessorConfig & Values =>
  processorConfig(className, given, {
    defaults: DEFAULTS,
    rules: {
      do_resize: isBoolean,
      size: isSides,
      resample: (value) => value === 1 || value === 2 || value === 3,
      keep_aspect_ratio: isBoolean,
      ensure_multiple_of: isSide,
      do_pad: (value) => value === false,
    },
    sizes: { size: square },
  });
