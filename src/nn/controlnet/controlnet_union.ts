import { shown } from "../../arguments/shown.js";
import { inOwnSpelling } from "../../arguments/spelling.js";
import { repeatRows, slice } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkTensor } from "../check_tensor.js";
import { TimestepEmbedding } from "../embeddings.js";
import { Linear } from "../layers.js";
import { Parameter } from "../module.js";
import { Timesteps } from "../unet/time_proj.js";
import { timestepsFor } from "../unet/unet_2d_trunk.js";
import {
  ControlNetTrunk,
  type ControlConditions,
  type ControlNetOutput,
  type Reading,
  type ToldConditions,
} from "./controlnet_trunk.js";
import { controlNetUnionSchema, type ControlNetUnionConfig } from "./controlnet_union_config.js";
import { meanOfPixels } from "./mean_of_pixels.js";
import { ResidualAttentionBlock } from "./residual_attention.js";

/** Options of ControlNetUnionModel.forward(). */
export interface ControlNetUnionOptions extends ControlConditions {
  /** Of a single picture multiplies every result, of several the features of each: one number, or one for each. 1 by default. */
  conditioningScale?: number | readonly number[];
  /** Has several pictures counted as one, whose results the first scale multiplies; false by default. */
  fromMulti?: boolean;
  /** Scales the results from 0.1 (the finest) to 1 (the middle), so that the pictures guide without a prompt. */
  guessMode?: boolean;
}

/**
 * ControlNets of several kinds of pictures in one model (ControlNetPlus, https://github.com/xinsir6/ControlNetPlus), which reads one or more
 * pictures at once. A StableDiffusionXLControlNetUnionPipeline draws with it; its results may go to unet.forward(), too.
 * diffusers: models/controlnets/controlnet_union.py
 */
export class ControlNetUnionModel extends ControlNetTrunk<ControlNetUnionConfig> {
  static readonly className = "ControlNetUnionModel";
  static readonly defaults = controlNetUnionSchema.defaults;
  readonly task_embedding: Parameter;
  /** As diffusers spells it. */
  readonly transformer_layes: readonly ResidualAttentionBlock[];
  readonly spatial_ch_projs: Linear;
  readonly control_type_proj: Timesteps;
  readonly control_add_embedding: TimestepEmbedding;

  /** @throws TypeError, too, for a transformer that is not as wide as the features that it mixes */
  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(controlNetUnionSchema, given);
    const { config } = this;
    const { num_control_type: kinds, num_trans_head: heads, addition_time_embed_dim: perKind } = config;
    const [width] = config.block_out_channels;
    for (const key of ["num_trans_channel", "num_proj_channel"] as const)
      if (config[key] !== width)
        throw new TypeError(
          `ControlNetUnionModel: config ${key} = ${config[key]} is not supported: it must be the first of block_out_channels, ${width}`,
        );
    if (width % heads !== 0)
      throw new TypeError(
        `ControlNetUnionModel: config num_trans_head = ${heads} does not divide num_trans_channel = ${width}`,
      );
    this.task_embedding = new Parameter([kinds, width]);
    this.transformer_layes = Array.from(
      { length: config.num_trans_layer },
      () => new ResidualAttentionBlock(width, heads),
    );
    this.spatial_ch_projs = new Linear(width, width);
    const frequencies = { flipSinToCos: config.flip_sin_to_cos, freqShift: config.freq_shift };
    this.control_type_proj = new Timesteps(perKind, frequencies);
    this.control_add_embedding = new TimestepEmbedding(perKind * kinds, 4 * width);
  }

  /**
   * What is to be added to a UNet's activations, so that its picture follows those of `controlnetCond`. The caller disposes it.
   * @param sample latents [batch, in_channels, height, width]
   * @param timestep one for the batch, or one per image
   * @param encoderHiddenStates the encoded prompt, [batch, tokens, cross_attention_dim]
   * @param controlnetCond guiding pictures [batch, conditioning_channels, pixels, pixels] in [0, 1]; their sides are those of the sample
   *   times 2 ** (conditioning_embedding_out_channels.length - 1)
   * @param controlType [batch, num_control_type], 1 for the kinds of the pictures and 0 for the others
   * @param controlTypeIdx for each picture its kind, from 0 on
   */
  forward(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    controlnetCond: readonly Tensor[],
    controlType: Tensor,
    controlTypeIdx: readonly number[],
    options: ControlNetUnionOptions = {},
  ): ControlNetOutput {
    const known = ["conditioningScale", "fromMulti", "guessMode", "addedCondKwargs", "classLabels"];
    const {
      conditioningScale = 1,
      fromMulti,
      guessMode,
      ...conditions
    } = inOwnSpelling(options, known, "ControlNetUnionModel.forward");
    if (!Array.isArray(controlnetCond) || controlnetCond.length === 0)
      throw new TypeError(
        `ControlNetUnionModel: controlnetCond must be a list of Tensors, got ${shown(controlnetCond)}`,
      );
    const pictures = controlnetCond as readonly Tensor[];
    const inputs = Object.entries({ sample, encoderHiddenStates, controlType });
    for (const [name, tensor] of [...inputs, ...pictures.map((each, i) => [`controlnetCond[${i}]`, each] as const)])
      checkTensor("ControlNetUnionModel", name, tensor);
    this.check(
      sample.shape,
      encoderHiddenStates.shape,
      pictures.map(({ shape }) => shape),
    );
    this.#checkKinds(controlType.shape, controlTypeIdx, [sample.shape[0], pictures.length]);
    const scales = Array.isArray(conditioningScale)
      ? (conditioningScale as readonly number[])
      : pictures.map(() => conditioningScale as number);
    if (scales.length !== pictures.length)
      throw new RangeError(
        `ControlNetUnionModel: conditioningScale must be a number, or one for each of ${pictures.length} pictures, got ${shown(conditioningScale)}`,
      );
    const timesteps = timestepsFor("ControlNetUnionModel", timestep, sample.shape[0]);
    return sample.device.scope(() => {
      const asOne = fromMulti === true || pictures.length === 1;
      const time = this.embedConditions(timesteps, encoderHiddenStates, { ...conditions, controlType });
      const parts = pictures.map(
        (each, i) => [this.embedPicture(each), controlTypeIdx[i], asOne ? 1 : scales[i]] as const,
      );
      const weighing = { conditioningScale: asOne ? scales[0] : 1, guessMode };
      const results = this.predict(sample, time, encoderHiddenStates, this.#mix(parts), weighing);
      return this.output(results, sample);
    });
  }

  #checkKinds(controlType: readonly number[], modes: readonly number[], [batch, pictures]: [number, number]): void {
    const { num_control_type: kinds } = this.config;
    if (controlType.join() !== [batch, kinds].join())
      throw new RangeError(
        `ControlNetUnionModel: controlType must be [${batch}, ${kinds}], got [${controlType.join(", ")}]`,
      );
    const isKind = (mode: number): boolean => Number.isInteger(mode) && mode >= 0 && mode < kinds;
    if (Array.isArray(modes) && modes.length === pictures && modes.every(isKind)) return;
    throw new RangeError(
      `ControlNetUnionModel: controlTypeIdx must be an integer from 0 to ${kinds - 1} for each of ${pictures} pictures, got ${shown(modes)}`,
    );
  }

  override get embedsTimeAlone(): boolean {
    return false;
  }

  override told({ images, how: { modes } }: Reading, rows: number): Pick<ToldConditions, "controlType"> {
    const { num_control_type: kinds } = this.config;
    const has = Float32Array.from({ length: rows * kinds }, (_, i) => (modes.includes(i % kinds) ? 1 : 0));
    return { controlType: Tensor.from(has, [rows, kinds], { device: images[0].device }) };
  }

  protected override embedKinds(controlType: Tensor): Tensor {
    const [rows, kinds] = controlType.shape;
    const { control_type_proj: frequencies } = this;
    const sinusoids = frequencies.forward(controlType.reshape([rows * kinds]), controlType.device);
    return this.control_add_embedding.forward(this.as(sinusoids.reshape([rows, kinds * frequencies.width])));
  }

  /** Features of each picture are kept with it, and what they make together with the first one. */
  override features({ images, how }: Reading): Tensor {
    const { modes, scales } = how;
    const mix = (): Tensor =>
      images[0].device.scope(() => {
        const kept = images.map((each) => each.memo(this, () => [each.device.scope(() => this.embedPicture(each))])[0]);
        return this.#mix(kept.map((features, i) => [features, modes[i], scales[i]] as const));
      });
    return images[0].memo(how, () => [mix()], images.slice(1))[0];
  }

  /** The sum of pictures' features, and of what the transformer makes of the mean of each and its kind. */
  #mix(parts: readonly (readonly [features: Tensor, mode: number, scale: number])[]): Tensor {
    return parts[0][0].device.scope(() => {
      let sum: Tensor | undefined;
      for (const [features, mode, scale] of parts) {
        const [rows, height, width, channels] = features.shape;
        const shifts = this.#shifts(meanOfPixels(features).reshape([rows, channels]), mode, scale);
        const spread = repeatRows(shifts, height * width).reshape(features.shape);
        sum = linearCombination([...(sum ? [[1, sum] as const] : []), [scale, features], [scale, spread]]);
      }
      return sum!;
    });
  }

  /** @param means [rows, channels] @returns as many */
  #shifts(means: Tensor, mode: number, scale: number): Tensor {
    const task = repeatRows(slice(this.task_embedding.value, 0, mode, 1), means.shape[0]);
    // The tokens of one sequence are the rows of the batch, and each picture is one for itself: diffusers' attention takes its first
    // axis for that of tokens, as that of ControlNetPlus does, with which the weights were trained.
    let x = linearCombination([
      [scale, means],
      [scale, task],
    ]).reshapeOwned([1, ...means.shape]);
    for (const layer of this.transformer_layes) x = layer.forward(x);
    return this.spatial_ch_projs.forward(x).reshapeOwned(means.shape);
  }
}
