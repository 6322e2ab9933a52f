/** What both UNets have in common: the modules, and the way down, through the middle and up again. */
import { shown } from "../../arguments/shown.js";
import type { Device } from "../../tensor/device.js";
import { cast, toNCHW, toNHWC } from "../../tensor/ops/copy.js";
import { add, linearCombination } from "../../tensor/ops/elementwise.js";
import { upsampleNearest } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { normalized, type Activation } from "../activations.js";
import { checkTensor } from "../check_tensor.js";
import type { ConfigSchema } from "../config.js";
import { TimestepEmbedding } from "../embeddings.js";
import { Conv2d, GroupNorm } from "../layers.js";
import type { TimeConditioning } from "../resnet.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { classEmbedding, type ClassEmbedding, type EmbedContext } from "./class_embedding.js";
import { placesOf, type FeaturePlace } from "./intrablock.js";
import type { TimeProjection } from "./time_proj.js";
import { TimeProjections } from "./time_projections.js";
import type { Conditioning, DownBlock, MidBlock2D, UpBlock } from "./unet_2d_blocks.js";
import {
  downBlock,
  midBlock,
  upBlock,
  type LevelOptions,
  type MidLevelOptions,
  type UNetShape,
} from "./unet_block_types.js";

/** A UNet as its config describes it. */
export interface UNetOptions extends UNetShape {
  inChannels: number;
  outChannels: number;
  /** Kernel sizes of the first and the last convolution. */
  kernels: { in: number; out: number };
  /** Channels of each level, from the finest. */
  widths: readonly number[];
  time: {
    projection: TimeProjection;
    /** Width of the embedding; blocks take `blockWidth`. */
    width: number;
    activation: Activation;
    postActivation: Activation;
    condProjDim: number | null;
  };
  classes: { type: string | null; count: number | null; inputWidth: number | null; activation: Activation };
  /** The options of each block, but for what follows from its place; `up` in the order of up_blocks. */
  down: readonly LevelKind[];
  mid: Omit<MidLevelOptions, "channels">;
  up: readonly LevelKind[];
  /** The norm and the activation before the last convolution; no groups: neither. */
  out: { groups: number | null; activation: Activation };
}

export type LevelKind = Omit<LevelOptions, "inChannels" | "outChannels" | "resize">;

/** What is added: a tensor [batch, height, width, channels], of one pixel where it is the same for all, times a factor. */
export interface Term {
  factor: number;
  x: Tensor;
}

/** Results of another network (ControlNet) that are added to the skip connections, and to the result of the middle. */
export interface AdditionalResiduals {
  /** From conv_in's to the last of the coarsest level. */
  down: readonly Term[];
  mid: Term;
}

/** Of the 7 terms of one linear combination, those besides the sum itself. */
const TERMS_AT_ONCE = 6;

export abstract class UNetTrunk<C extends object> extends PretrainedModel<C> {
  readonly conv_in: Conv2d;
  readonly time_proj: TimeProjection;
  readonly time_embedding: TimestepEmbedding;
  readonly class_embedding: ClassEmbedding | null;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock2D | null;
  readonly up_blocks: readonly UpBlock[];
  readonly conv_norm_out: GroupNorm | null;
  readonly conv_out: Conv2d;
  readonly #options: UNetOptions;
  readonly #time: TimeProjections;

  constructor(schema: ConfigSchema, given: Readonly<Record<string, unknown>>, describe: (config: C) => UNetOptions) {
    super(schema, given);
    const options = (this.#options = describe(this.config));
    const { widths, kernels, time, classes, down, mid, up, out } = options;
    const last = widths.length - 1;
    this.conv_in = new Conv2d(options.inChannels, widths[0], { kernel: kernels.in, padding: (kernels.in - 1) >> 1 });
    this.time_proj = time.projection;
    this.time_embedding = new TimestepEmbedding(time.projection.width, time.width, time);
    const projectedWidth = time.projection.width;
    this.class_embedding = classEmbedding(options.model, { ...classes, width: time.width, projectedWidth });
    this.down_blocks = down.map((kind, i) =>
      downBlock(options, {
        ...kind,
        inChannels: widths[Math.max(0, i - 1)],
        outChannels: widths[i],
        resize: i < last,
      }),
    );
    this.mid_block = midBlock(options, { ...mid, channels: widths[last] });
    this.up_blocks = up.map((kind, i) => {
      const level = last - i;
      return upBlock(options, {
        ...kind,
        inChannels: widths[Math.min(last, level + 1)],
        outChannels: widths[level],
        skipChannels: widths[Math.max(0, level - 1)],
        resize: i < last,
      });
    });
    this.conv_norm_out = out.groups === null ? null : new GroupNorm(out.groups, widths[0], options.resnet.eps);
    this.conv_out = new Conv2d(widths[0], options.outChannels, {
      kernel: kernels.out,
      padding: (kernels.out - 1) >> 1,
    });
    this.#time = new TimeProjections(this, options.resnet.activation ?? "silu");
  }

  /** A copy of x in the dtype of the weights, or x. */
  protected as(x: Tensor): Tensor {
    return x.dtype === this.dtype ? x : cast(x, this.dtype);
  }

  protected embedContext({ device, shape: [batch] }: Tensor): EmbedContext {
    return { device, dtype: this.dtype, batch, timeProj: this.time_proj };
  }

  /** The sinusoids of timesteps through time_embedding, [batch, width]. */
  protected embedTime(timesteps: readonly number[], device: Device, condition?: Tensor): Tensor {
    return this.time_embedding.forward(this.as(this.time_proj.forward(timesteps, device)), condition);
  }

  /** All that the blocks take of a time embedding: tensors of as many rows. */
  protected timeProducts(embedding: Tensor): Tensor[] {
    return this.#time.products(embedding);
  }

  /** What each block takes of timeProducts(). */
  protected timeConditioning(products: readonly Tensor[]): TimeConditioning {
    return { time: this.#time.split(products) };
  }

  /**
   * @param sample NCHW
   * @param center whether to take it from 0..1 to -1..1 first
   * @param features of a T2I-Adapter, [batch, height, width, channels], for the first of featurePlaces()
   * @returns NCHW in the dtype of the weights; the caller's scope frees what is made on the way
   */
  protected run(
    sample: Tensor,
    conditioning: Conditioning,
    center: boolean,
    { added = [], features = [] }: { added?: readonly AdditionalResiduals[]; features?: readonly Tensor[] } = {},
  ): Tensor {
    let x = this.as(toNHWC(sample));
    if (center) x = linearCombination([[2, x]], { offset: -1 });
    const [, height, width] = x.shape;
    const places = this.featurePlaces([height, width]);
    const featureOf = (i: number): Tensor | undefined => features[i] && this.as(features[i]);
    // 1. down, keeping every result as a skip connection
    let h = this.conv_in.forward(x);
    let skips: (Tensor | null)[] = [h];
    let image: Tensor | undefined = x;
    for (const [i, block] of this.down_blocks.entries()) {
      const feature = featureOf(i);
      const residual = places[i]?.inside ? feature : undefined;
      const result: ReturnType<DownBlock["forward"]> = block.forward(h, conditioning, { image, residual });
      if (feature && !residual) addBehind(result, feature);
      skips.push(...result.skips);
      ({ hidden: h, image } = { image, ...result });
    }
    // 2. mid
    if (this.mid_block) h = this.mid_block.forward(h, conditioning);
    const last = featureOf(this.down_blocks.length);
    // Of a UNet without a middle it is left out, as in diffusers.
    if (last && this.mid_block) h = add(h, last);
    if (added.length > 0) {
      h = this.#sum(
        h,
        added.map(({ mid }) => mid),
      );
      skips = this.#withResiduals(
        skips,
        added.map(({ down }) => down),
      );
    }
    // 3. up; where a size was rounded up on the way down, the way up must return to it
    const zoom = 2 ** (this.up_blocks.length - 1);
    const odd = height % zoom !== 0 || width % zoom !== 0;
    image = undefined;
    for (const block of this.up_blocks) {
      const next = skips[skips.length - 1 - block.resnets.length];
      const size = odd && next ? ([next.shape[1], next.shape[2]] as const) : undefined;
      const result: ReturnType<UpBlock["forward"]> = block.forward(h, skips, conditioning, { size, image });
      h.dispose();
      ({ hidden: h, image } = { image: undefined, ...result });
    }
    // 4. out
    if (this.conv_norm_out) h = normalized(this.conv_norm_out, h, this.#options.out.activation);
    return toNCHW(this.conv_out.forward(h, { residual: image }));
  }

  /** What a T2I-Adapter's features are added to, in their order, of latents of such sides. */
  protected featurePlaces(sides: readonly [height: number, width: number]): (FeaturePlace | null)[] {
    return placesOf(this.#options, sides);
  }

  #sum(x: Tensor, terms: readonly Term[]): Tensor {
    let sum = x;
    for (let i = 0; i < terms.length; i += TERMS_AT_ONCE) {
      const some = terms.slice(i, i + TERMS_AT_ONCE);
      sum = linearCombination([[1, sum], ...some.map((term) => [term.factor, this.#spread(term.x, x)] as const)]);
    }
    return sum;
  }

  /** ControlNets with global_pool_conditions give one pixel for all. */
  #spread(term: Tensor, { shape: [, height, width] }: Tensor): Tensor {
    const given = this.as(term);
    const [, rows, columns] = given.shape;
    return rows * columns === 1 && height * width > 1 ? upsampleNearest(given, [height, width]) : given;
  }

  #withResiduals(skips: readonly (Tensor | null)[], added: readonly (readonly Term[])[]): (Tensor | null)[] {
    const wrong = added.find(({ length }) => length !== skips.length);
    if (wrong)
      throw new RangeError(
        `${this.#options.model}: downBlockAdditionalResiduals must be ${skips.length} tensors, got ${wrong.length}`,
      );
    return skips.map((skip, i) => {
      if (!skip) return null;
      const sum = this.#sum(
        skip,
        added.map((terms) => terms[i]),
      );
      skip.dispose();
      return sum;
    });
  }
}

/** diffusers adds in place: where the block's result is a skip connection, too, that is the sum. */
function addBehind(result: ReturnType<DownBlock["forward"]>, feature: Tensor): void {
  const { hidden, skips } = result;
  result.hidden = add(hidden, feature);
  result.skips = skips.map((skip) => (skip === hidden ? result.hidden : skip));
  hidden.dispose();
}

/**
 * One timestep per image.
 * @throws TypeError for anything but numbers; RangeError if one is not finite, or if there are several, and not as many as images
 */
export function timestepsFor(model: string, timestep: number | readonly number[], batch: number): readonly number[] {
  const timesteps = typeof timestep === "number" ? new Array<number>(batch).fill(timestep) : timestep;
  if (!Array.isArray(timesteps) && !ArrayBuffer.isView(timesteps)) {
    const cure = (timestep as unknown) instanceof Tensor ? "; read it first: Array.from(await timestep.data())" : "";
    throw new TypeError(`${model}: timestep must be a number or a list of numbers, got ${shown(timestep)}${cure}`);
  }
  const wrong = timesteps.find((t) => !Number.isFinite(t));
  if (wrong !== undefined) throw new RangeError(`${model}: timestep must be finite, got ${shown(wrong)}`);
  if (timesteps.length === batch) return timesteps;
  throw new RangeError(`${model}: takes one timestep or one per image (${batch}), got ${timesteps.length}`);
}

/** @throws TypeError, RangeError unless sample is a tensor [batch, channels, height, width] */
export function checkSample(model: string, sample: Tensor, channels: number): void {
  checkTensor(model, `sample [batch, ${channels}, height, width]`, sample);
  if (sample.shape.length === 4 && sample.shape[1] === channels) return;
  throw new RangeError(
    `${model}: sample must be [batch, ${channels}, height, width], got [${sample.shape.join(", ")}]`,
  );
}
