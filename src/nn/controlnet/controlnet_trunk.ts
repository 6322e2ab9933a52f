/** What all ControlNets are: a copy of a UNet's first half, whose results a 1x1 convolution each takes to the UNet. */
import type { Device } from "../../tensor/device.js";
import { cast, slice, toNCHW, toNHWC } from "../../tensor/ops/copy.js";
import { add, linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { perLevel, type ConfigSchema } from "../config.js";
import { TimestepEmbedding } from "../embeddings.js";
import { Conv2d } from "../layers.js";
import { addedEmbedding, type AddedCondKwargs, type AddedEmbedding } from "../unet/added_embedding.js";
import { classEmbedding, embedClasses, type ClassEmbedding, type ClassLabels } from "../unet/class_embedding.js";
import { Timesteps } from "../unet/time_proj.js";
import { TimeProjections } from "../unet/time_projections.js";
import type { DownBlock, MidBlock2D } from "../unet/unet_2d_blocks.js";
import type { AdditionalResiduals, Term } from "../unet/unet_2d_trunk.js";
import { downBlock, midBlock, type CrossAttentionOptions, type UNetShape } from "../unet/unet_block_types.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { ControlNetConditioningEmbedding } from "./controlnet_cond_embedding.js";
import type { ControlNetConfig } from "./controlnet_config.js";
import { meanOfPixels } from "./mean_of_pixels.js";

/** What is known of images besides their timesteps. */
export interface ControlConditions {
  /** Of models with addition_embed_type "text_time" (SDXL): the pooled prompt and the sizes. */
  addedCondKwargs?: AddedCondKwargs;
  /** Of class-conditional models: numbers or int32 [batch], or vectors [batch, width], as class_embed_type says. */
  classLabels?: ClassLabels;
}

/** … and what a union of ControlNets is told of the pictures that it reads. */
export interface ToldConditions extends ControlConditions {
  /** [batch, num_control_type]: 1 for the kinds that there are, 0 for the others. */
  controlType?: Tensor;
}

/** What a ControlNet adds to a UNet, in the form of UNet2DConditionModel.forward()'s options. The caller disposes the tensors. */
export interface ControlNetOutput {
  /** To be added to the UNet's skip connections, in their order: [batch, channels, height, width] each. */
  downBlockResSamples: Tensor[];
  /** To be added to the result of the UNet's middle. */
  midBlockResSample: Tensor;
}

/** Pictures that a ControlNet reads in a step. */
export interface Reading {
  /** [rows, conditioning_channels, height, width] in [0, 1]: one; of a union of ControlNets one or several. */
  readonly images: readonly Tensor[];
  readonly how: ReadingAs;
}

/** How a union reads each of them; others do not ask. What is made of the pictures is kept under this object. */
export interface ReadingAs {
  /** Kinds. */
  readonly modes: readonly number[];
  /** What features are multiplied by. */
  readonly scales: readonly number[];
}

/** How predict() weighs the results. */
export interface Weighing {
  conditioningScale?: number;
  guessMode?: boolean;
}

export type Shape = readonly number[];

export abstract class ControlNetTrunk<C extends ControlNetConfig = ControlNetConfig> extends PretrainedModel<C> {
  readonly conv_in: Conv2d;
  readonly time_proj: Timesteps;
  readonly time_embedding: TimestepEmbedding;
  readonly class_embedding: ClassEmbedding | null;
  readonly add_embedding: AddedEmbedding | null;
  readonly controlnet_cond_embedding: ControlNetConditioningEmbedding;
  readonly down_blocks: readonly DownBlock[];
  readonly controlnet_down_blocks: readonly Conv2d[];
  readonly controlnet_mid_block: Conv2d;
  readonly mid_block: MidBlock2D;
  protected readonly model: string;
  readonly #time: TimeProjections;

  constructor(schema: ConfigSchema, given: Readonly<Record<string, unknown>>) {
    super(schema, given);
    const { name: model } = schema;
    const { config } = this;
    const widths = config.block_out_channels;
    const last = widths.length - 1;
    const each = (key: string, value: number | number[]): readonly number[] =>
      perLevel<number>(model, key, value, widths.length);
    // attention_head_dim is the number of heads: a misnomer of SD 1 that diffusers keeps for compatibility.
    const heads = each("attention_head_dim", config.num_attention_heads ?? config.attention_head_dim);
    const depths = each("transformer_layers_per_block", config.transformer_layers_per_block);
    const tembChannels = 4 * widths[0];
    const { layers_per_block: layers, use_linear_projection: linearProjection } = config;
    const shape: UNetShape = {
      model,
      resnet: { tembChannels, groups: config.norm_num_groups, eps: config.norm_eps },
      downsamplePadding: config.downsample_padding,
      downsampleType: "conv",
      upsampleType: "conv",
    };
    const cross = (level: number): CrossAttentionOptions & { depth: number; onlyCross: boolean } => ({
      heads: heads[level],
      depth: depths[level],
      contextWidth: config.cross_attention_dim,
      linearProjection,
      contextNorm: null,
      onlyCross: false,
    });

    this.model = model;
    this.conv_in = new Conv2d(config.in_channels, widths[0]);
    const frequencies = { flipSinToCos: config.flip_sin_to_cos, freqShift: config.freq_shift };
    this.time_proj = new Timesteps(widths[0], frequencies);
    this.time_embedding = new TimestepEmbedding(widths[0], tembChannels);
    this.class_embedding = classEmbedding(model, {
      type: config.class_embed_type,
      count: config.num_class_embeds,
      width: tembChannels,
      projectedWidth: widths[0],
      inputWidth: config.projection_class_embeddings_input_dim,
      activation: "silu",
    });
    this.add_embedding = addedEmbedding(model, {
      type: config.addition_embed_type,
      width: tembChannels,
      encoderWidth: config.cross_attention_dim,
      heads: config.addition_embed_type_num_heads,
      inputWidth: config.projection_class_embeddings_input_dim,
      timeWidth: config.addition_time_embed_dim,
      frequencies,
    });
    this.controlnet_cond_embedding = new ControlNetConditioningEmbedding(
      config.conditioning_channels,
      config.conditioning_embedding_out_channels,
      widths[0],
    );
    this.down_blocks = widths.map((outChannels, level) =>
      downBlock(shape, {
        type: config.down_block_types[level],
        layers,
        headDim: heads[level],
        resize: level < last,
        inChannels: widths[Math.max(0, level - 1)],
        outChannels,
        cross: { ...cross(level), depths: new Array<number>(layers).fill(depths[level]) },
      }),
    );
    // One 1x1 convolution per result of the way down: conv_in's, then each layer's and each downsampling's.
    const results = widths.flatMap((width, level) =>
      new Array<number>(config.layers_per_block + (level < last ? 1 : 0)).fill(width),
    );
    this.controlnet_down_blocks = [widths[0], ...results].map((width) => new Conv2d(width, width, { kernel: 1 }));
    this.controlnet_mid_block = new Conv2d(widths[last], widths[last], { kernel: 1 });
    this.mid_block = midBlock(shape, {
      type: "UNetMidBlock2DCrossAttn",
      channels: widths[last],
      outputScale: 1,
      headDim: heads[last],
      cross: cross(last),
    })!;
    this.#time = new TimeProjections(this, "silu");
  }

  /** The parts of `forward`, for loops that record the last (UNetSteps): the checks of shapes … */
  check(sample: Shape, encoderHiddenStates: Shape, pictures: readonly Shape[]): void {
    const { config } = this;
    const [batch] = sample;
    const expectShape = (name: string, shape: Shape, wanted: readonly (number | string)[]): void => {
      if (shape.length === wanted.length && wanted.every((n, i) => typeof n === "string" || n === shape[i])) return;
      throw new RangeError(`${this.model}: ${name} must be [${wanted.join(", ")}], got [${shape.join(", ")}]`);
    };
    expectShape("sample", sample, [batch, config.in_channels, "height", "width"]);
    expectShape("encoderHiddenStates", encoderHiddenStates, [batch, "tokens", config.cross_attention_dim]);
    for (const picture of pictures) {
      expectShape("controlnetCond", picture, [batch, config.conditioning_channels, "height", "width"]);
      const pixels = picture.slice(2);
      const [features, expected] = [pixels.map((n) => this.controlnet_cond_embedding.featuresOf(n)), sample.slice(2)];
      if (features.join() !== expected.join())
        throw new RangeError(
          `${this.model}: controlnetCond [${pixels.join(", ")}] becomes [${features.join(", ")}], but the sample has [${expected.join(", ")}]`,
        );
    }
  }

  /**
   * … all that the blocks take of timesteps, and of conditions that come as numbers, tensors [batch, …] …
   * @throws TypeError for conditions that the config has no use for, or that it lacks
   */
  embedConditions(
    timesteps: readonly number[],
    encoderHiddenStates: Tensor,
    { addedCondKwargs: added, classLabels, controlType }: ToldConditions = {},
  ): Tensor[] {
    const { device } = encoderHiddenStates;
    const { dtype, time_proj: timeProj } = this;
    if (added && !this.add_embedding)
      throw new TypeError(`${this.model}: addedCondKwargs was given, but config addition_embed_type is null`);
    return device.scope(() => {
      let embedding = this.#embedTime(timesteps, device);
      const context = { device, dtype, batch: timesteps.length, timeProj };
      const classes = embedClasses(this.model, this.class_embedding, classLabels, context);
      if (classes) embedding = add(embedding, classes);
      const kinds = controlType && this.embedKinds(controlType);
      if (kinds) embedding = add(embedding, kinds);
      const addition = this.add_embedding?.embed(this.#prompt(encoderHiddenStates), dtype, added);
      if (addition) embedding = add(embedding, addition);
      return this.#time.products(embedding);
    });
  }

  /** What is added to the time embedding for the kinds of the pictures: of a union. */
  protected embedKinds(_controlType: Tensor): Tensor | null {
    return null;
  }

  /** … or, of models that know nothing of an image but its timestep, for many timesteps at once … */
  embedSchedule(device: Device, timesteps: readonly number[]): Tensor[] {
    return device.scope(() => this.#time.products(this.#embedTime(timesteps, device)));
  }

  /** Whether embedSchedule() is all there is to know. */
  get embedsTimeAlone(): boolean {
    return !this.class_embedding && !this.add_embedding;
  }

  #embedTime(timesteps: readonly number[], device: Device): Tensor {
    return this.time_embedding.forward(this.as(this.time_proj.forward(timesteps, device)));
  }

  /** … the features of what is read, kept with the first picture … @returns [batch, height, width, channels], the sample's */
  abstract features(reading: Reading): Tensor;

  /** … what embedConditions() is told of it, for so many rows … */
  told(_reading: Reading, _rows: number): Pick<ToldConditions, "controlType"> {
    return {};
  }

  /** The features of a picture. */
  protected embedPicture(picture: Tensor): Tensor {
    const { controlnet_conditioning_channel_order: order } = this.config;
    const rgb = order === "bgr" ? flip(picture) : picture;
    return this.controlnet_cond_embedding.forward(this.as(toNHWC(rgb)));
  }

  /**
   * … and the way through the network, of inputs that check() has seen.
   * @param time of embedSchedule(): a row per image, or one for all
   * @param features of features()
   */
  predict(
    sample: Tensor,
    time: readonly Tensor[],
    encoderHiddenStates: Tensor,
    features: Tensor,
    { conditioningScale = 1, guessMode = false }: Weighing = {},
  ): AdditionalResiduals {
    const { config } = this;
    return sample.device.scope(() => {
      const conditioning = { time: this.#time.split(time), context: this.#prompt(encoderHiddenStates) };
      const results = [this.conv_in.forward(this.as(toNHWC(sample)), { residual: features })];
      let hidden = results[0];
      for (const block of this.down_blocks) {
        const down = block.forward(hidden, conditioning);
        results.push(...down.skips.filter((skip) => skip !== null));
        hidden = down.hidden;
      }
      const middle = this.mid_block.forward(hidden, conditioning);

      const finish = (x: Tensor, layer: Conv2d, i: number): Term => {
        const y = layer.forward(x);
        // From 0.1 to 1 by equal factors; the middle is the last.
        const guess = guessMode && !config.global_pool_conditions ? 10 ** (i / results.length - 1) : 1;
        return { factor: conditioningScale * guess, x: config.global_pool_conditions ? meanOfPixels(y) : y };
      };
      return {
        down: results.map((x, i) => finish(x, this.controlnet_down_blocks[i], i)),
        mid: finish(middle, this.controlnet_mid_block, results.length),
      };
    });
  }

  /** As forward() returns it, in the sample's dtype. */
  protected output({ down, mid }: AdditionalResiduals, { dtype }: Tensor): ControlNetOutput {
    const finish = ({ factor, x }: Term): Tensor => {
      const nchw = toNCHW(linearCombination([[factor, x]]));
      return nchw.dtype === dtype ? nchw : cast(nchw, dtype);
    };
    return { downBlockResSamples: down.map(finish), midBlockResSample: finish(mid) };
  }

  /** In the dtype of the weights. */
  protected as(x: Tensor): Tensor {
    return x.dtype === this.dtype ? x : cast(x, this.dtype);
  }

  /** In that dtype, too, but kept with the prompt, and so are the keys and values that the blocks make of it. */
  #prompt(given: Tensor): Tensor {
    return given.dtype === this.dtype ? given : given.memo(this, () => [cast(given, this.dtype)])[0];
  }
}

/** Channels in the opposite order. */
function flip(x: Tensor): Tensor {
  const channels = Array.from({ length: x.shape[1] }, (_, i) => slice(x, 1, i, 1));
  return channels.reduce((all, channel) => concat(channel, all, 1));
}
