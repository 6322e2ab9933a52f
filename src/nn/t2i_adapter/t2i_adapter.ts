import { cast, toNCHW } from "../../tensor/ops/copy.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkImages } from "../check_tensor.js";
import { Conv2d } from "../layers.js";
import { Module } from "../module.js";
import { pixelUnshuffle } from "../resample.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { AdapterBlock, type AdapterBlockOptions } from "./adapter_blocks.js";
import { t2iAdapterSchema, type T2IAdapterConfig } from "./t2i_adapter_config.js";

/** What an adapter gives at one level, without the batch. */
export type FeatureShape = readonly [height: number, width: number, channels: number];

/** FullAdapter, FullAdapterXL and LightAdapter: blocks one after another, the result of each a feature. */
class AdapterBody extends Module {
  readonly conv_in: Conv2d | null;
  readonly body: readonly AdapterBlock[];

  constructor(config: T2IAdapterConfig) {
    super();
    const { in_channels: colours, channels, downscale_factor: factor, adapter_type: type } = config;
    const light = type === "light_adapter";
    const unshuffled = colours * factor ** 2;
    this.conv_in = light ? null : new Conv2d(unshuffled, channels[0]);
    this.body = levelsOf(config, unshuffled).map((level) => new AdapterBlock(level, light));
  }
}

function levelsOf(
  { channels, num_res_blocks: layers, adapter_type: type }: T2IAdapterConfig,
  unshuffled: number,
): AdapterBlockOptions[] {
  const level = (inChannels: number, outChannels: number, down: boolean): AdapterBlockOptions => {
    return { inChannels, outChannels, layers, down };
  };
  if (type === "light_adapter") {
    if (channels.some((width) => width < 4))
      throw new TypeError(
        `T2IAdapter: config channels = [${channels.join(", ")}] is not supported with adapter_type "light_adapter": it works on a quarter of them`,
      );
    // One more than there are numbers of channels.
    return [...channels, channels[channels.length - 1]].map((width, i) =>
      level(i === 0 ? unshuffled : channels[i - 1], width, i > 0),
    );
  }
  if (type === "full_adapter") return channels.map((width, i) => level(channels[Math.max(0, i - 1)], width, i > 0));
  // The levels of Stable Diffusion XL's UNet, of which the last is that of the middle, too. Others than these two take what they give.
  return channels.map((width, i) => {
    if (i > 2 && channels[i - 1] !== width)
      throw new TypeError(
        `T2IAdapter: config channels = [${channels.join(", ")}] is not supported with adapter_type "full_adapter_xl": from the third number ` +
          "on all must be the same",
      );
    return level(i === 1 || i === 2 ? channels[i - 1] : width, width, i === 2);
  });
}

/**
 * Reads a picture (a sketch, depth, a pose, colours) and gives features that steer a UNet (Mou et al. 2023, arXiv 2302.08453): one pass
 * for a whole drawing. A StableDiffusionAdapterPipeline draws with it; its results may go to unet.forward(), too.
 * diffusers: models/adapter.py
 */
export class T2IAdapter extends PretrainedModel<T2IAdapterConfig> {
  static readonly className = "T2IAdapter";
  static readonly defaults = t2iAdapterSchema.defaults;
  readonly adapter: AdapterBody;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(t2iAdapterSchema, given);
    this.adapter = new AdapterBody(this.config);
  }

  /** Pixels per feature of the finest level along each side; a picture's sides must be multiples of it. */
  get downscaleFactor(): number {
    return this.config.downscale_factor;
  }

  /** Pixels per feature of the coarsest level along each side. */
  get totalDownscaleFactor(): number {
    const { channels, adapter_type: type } = this.config;
    const halvings = { full_adapter: channels.length - 1, full_adapter_xl: 1, light_adapter: channels.length }[type];
    return this.downscaleFactor * 2 ** halvings;
  }

  /**
   * What is to be added in a UNet's blocks on the way down, see `downIntrablockAdditionalResiduals` of UNet2DConditionModel.forward().
   * @param x pictures [batch, in_channels, height, width] in [0, 1]
   * @returns for each level [batch, channels, height, width], in the dtype of `x`; the caller disposes them
   * @throws RangeError for another number of channels, and sides that are no multiples of `downscaleFactor`
   */
  forward(x: Tensor): Tensor[] {
    checkImages("T2IAdapter", x, this.config.in_channels);
    this.checkSides(x.shape.slice(2));
    return x.device.scope(() =>
      this.features(x).map((feature) => {
        const nchw = toNCHW(feature);
        return nchw.dtype === x.dtype ? nchw : cast(nchw, x.dtype);
      }),
    );
  }

  /** The parts of `forward`, for pipelines: the check of sides … */
  checkSides(sides: readonly number[]): void {
    const { downscaleFactor: factor } = this;
    if (sides.every((side) => side > 0 && side % factor === 0)) return;
    throw new RangeError(
      `T2IAdapter: pictures must have sides that are divisible by ${factor} (downscale_factor), got ${sides.join(" x ")}`,
    );
  }

  /** … what comes of pictures of such sides … */
  shapesOf([height, width]: readonly number[]): FeatureShape[] {
    let sides: [number, number] = [height / this.downscaleFactor, width / this.downscaleFactor];
    const blocks = this.adapter.body;
    return blocks.map((block, i) => {
      sides = [block.sideOf(sides[0]), block.sideOf(sides[1])];
      return [...sides, this.config.channels[Math.min(i, this.config.channels.length - 1)]] as const;
    });
  }

  /** … and the features, [batch, height, width, channels] in the dtype of the weights, of pictures as `forward` takes them. */
  features(x: Tensor): Tensor[] {
    return x.device.scope(() => {
      const pixels = pixelUnshuffle(x.dtype === this.dtype ? x : cast(x, this.dtype), this.downscaleFactor);
      let h = this.adapter.conv_in?.forward(pixels) ?? pixels;
      return this.adapter.body.map((block) => (h = block.forward(h)));
    });
  }
}
