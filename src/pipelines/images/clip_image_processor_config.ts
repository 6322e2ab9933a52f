/** The content of preprocessor_config.json of CLIP's image processors. */
import {
  hasSides,
  isBoolean,
  isSides,
  processorConfig,
  square,
  type ImageProcessorConfig,
  type Sides,
  type Values,
} from "./image_processor_config.js";

/** What is done to pictures, in this order: resize, center crop, rescale, normalize. */
export interface CLIPImageProcessorConfig extends ImageProcessorConfig {
  /** Whether grey becomes RGB, and what is transparent white. */
  readonly do_convert_rgb: boolean;
  readonly do_resize: boolean;
  /** With a shortest edge pictures keep their proportions. */
  readonly size: Sides | { readonly shortest_edge: number };
  /** Pillow's number of a filter: 1, Lanczos', or 3, bicubic. */
  readonly resample: number;
  /** Pictures that are smaller get a black border. */
  readonly do_center_crop: boolean;
  readonly crop_size: Sides;
}

const DEFAULTS: CLIPImageProcessorConfig = {
  do_convert_rgb: true,
  do_resize: true,
  size: { shortest_edge: 224 },
  resample: 3,
  do_center_crop: true,
  crop_size: { height: 224, width: 224 },
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

/** @throws TypeError naming a key whose value nothing here computes */
export const clipProcessorConfig = (className: string, given: Values): CLIPImageProcessorConfig & Values =>
  processorConfig(className, given, {
    defaults: DEFAULTS,
    rules: {
      do_convert_rgb: isBoolean,
      do_resize: isBoolean,
      size: (value) => isSides(value) || hasSides(value, ["shortest_edge"]),
      resample: (value) => value === 1 || value === 3,
      do_center_crop: isBoolean,
      crop_size: isSides,
    },
    sizes: { size: (side) => ({ shortest_edge: side }), crop_size: square },
  });
