import { inOwnSpelling } from "../../arguments/spelling.js";
import type { Device } from "../../tensor/device.js";
import { cast, repeatRows, toNHWC } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { noTensor } from "../../tensor/no_tensor.js";
import { toFloat } from "../../tensor/ops/to_float.js";
import type { Tensor } from "../../tensor/tensor.js";
import { activate, activationOf } from "../activations.js";
import { Attention } from "../attention.js";
import { checkTensor } from "../check_tensor.js";
import type { AttentionPlace, ImagePrompt, IPAdapter } from "../ip_adapter/ip_adapter.js";
import { Linear } from "../layers.js";
import { weightsOf } from "../module.js";
import type { FromPretrainedOptions } from "../weights/pretrained.js";
import { addedEmbedding, type AddedCondKwargs, type AddedEmbedding } from "./added_embedding.js";
import { AddedKVAttention } from "./added_kv_attention.js";
import { embedClasses, type ClassLabels } from "./class_embedding.js";
import { checkFactors, type FreeUFactors } from "./freeu.js";
import { misfit } from "./intrablock.js";
import { UpBlock2D } from "./unet_2d_blocks.js";
import { unet2DConditionSchema, type UNet2DConditionConfig } from "./unet_2d_condition_config.js";
import { conditionOptions, contextWidth, frequenciesOf, promptWidth, timeWidth } from "./unet_2d_condition_options.js";
import { checkSample, timestepsFor, UNetTrunk, type AdditionalResiduals, type Term } from "./unet_2d_trunk.js";

/** Options of UNet2DConditionModel.forward(). */
export interface UNetForwardOptions {
  /** [batch, time_cond_proj_dim]: the guidance embedding of distilled models. */
  timestepCond?: Tensor;
  /** Of models with addition_embed_type "text_time" (SDXL): the pooled prompt and the sizes. With IP-Adapters: their pictures. */
  addedCondKwargs?: AddedCondKwargs;
  /** Of class-conditional models: numbers or int32 [batch], or vectors [batch, width], as class_embed_type says. */
  classLabels?: ClassLabels;
  /** [batch, tokens]: 1 for tokens of the prompt to attend to, 0 for others. */
  encoderAttentionMask?: Tensor;
  /** Of a ControlNet, NCHW: added to the skip connections; needs the next one too. */
  downBlockAdditionalResiduals?: readonly Tensor[];
  /** Of a ControlNet, NCHW: added to the result of the middle block. */
  midBlockAdditionalResidual?: Tensor;
  /** Of a T2IAdapter, NCHW: added in the blocks of the way down, one in each, and one more to the result of the middle block. */
  downIntrablockAdditionalResiduals?: readonly Tensor[];
}

/** What is added to activations. */
interface Added {
  residuals?: readonly AdditionalResiduals[];
  features?: readonly Tensor[];
}

/** Those of forward(), NCHW. */
interface GivenResiduals {
  down?: readonly Tensor[];
  mid?: Tensor;
  features?: readonly Tensor[];
}

/** Other arguments of diffusers' forward() are refused by name. */
const KNOWN: Readonly<Record<keyof Required<UNetForwardOptions>, true>> = {
  timestepCond: true,
  addedCondKwargs: true,
  classLabels: true,
  encoderAttentionMask: true,
  downBlockAdditionalResiduals: true,
  midBlockAdditionalResidual: true,
  downIntrablockAdditionalResiduals: true,
};

/**
 * The UNet of Stable Diffusion: of noisy latents, a timestep and a prompt's embeddings it makes the noise that a scheduler's step
 * takes away. diffusers: models/unets/unet_2d_condition.py
 * @example
 * const unet = await UNet2DConditionModel.fromPretrained(repo, { subfolder: "unet", dtype: "float16" });
 * const { sample } = unet.forward(latents, timestep, promptEmbeds);
 */
export class UNet2DConditionModel extends UNetTrunk<UNet2DConditionConfig> {
  static readonly className: string = "UNet2DConditionModel";
  static readonly defaults = unet2DConditionSchema.defaults;
  readonly encoder_hid_proj: Linear | null;
  readonly add_embedding: AddedEmbedding | null;
  #ipAdapters: readonly IPAdapter[] = [];

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(unet2DConditionSchema, given, conditionOptions);
    const { config } = this;
    const { encoder_hid_dim: hidden, encoder_hid_dim_type: type } = config;
    if (hidden === null && type !== null)
      throw new TypeError(`UNet2DConditionModel: config encoder_hid_dim_type = "${type}" needs encoder_hid_dim`);
    const width = promptWidth(config);
    this.encoder_hid_proj = hidden === null ? null : new Linear(hidden, width);
    this.add_embedding = addedEmbedding("UNet2DConditionModel", {
      type: config.addition_embed_type,
      width: timeWidth(config),
      encoderWidth: hidden ?? width,
      heads: config.addition_embed_type_num_heads,
      timeWidth: config.addition_time_embed_dim,
      inputWidth: config.projection_class_embeddings_input_dim,
      frequencies: frequenciesOf(config),
    });
  }

  /**
   * Predicts the noise (or v, or the sample: the scheduler's prediction_type says which).
   * @param sample [batch, in_channels, height, width]
   * @param timestep one for the batch, or one per image
   * @param encoderHiddenStates the encoded prompt, [batch, tokens, encoder_hid_dim or cross_attention_dim]
   * @returns sample [batch, out_channels, height, width] in the dtype of `sample`; the caller disposes it
   * @throws RangeError for other shapes; TypeError for conditions that the config has no use for, or that it lacks
   */
  forward(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    given: UNetForwardOptions = {},
  ): { sample: Tensor } {
    const options = inOwnSpelling(given, Object.keys(KNOWN), "UNet2DConditionModel.forward");
    const timesteps = this.check(sample, timestep, encoderHiddenStates, options);
    const residuals = this.#residuals(options, sample);
    const term = (x: Tensor): Term => ({ factor: 1, x: toNHWC(x) });
    return sample.device.scope(() => {
      const time = this.embedConditions(sample, timesteps, encoderHiddenStates, options);
      const { down, mid } = residuals;
      const added = down && mid ? [{ down: down.map(term), mid: term(mid) }] : undefined;
      const { imageEmbeds, image_embeds } = options.addedCondKwargs ?? {};
      const images = this.#imagePrompts(this.embedImages(imageEmbeds ?? image_embeds, sample.shape[0]));
      const features = residuals.features?.map((x) => {
        const nhwc = toNHWC(x);
        return nhwc.shape[0] === 1 ? repeatRows(nhwc, sample.shape[0]) : nhwc;
      });
      const beside = { residuals: added, images, features };
      return { sample: this.#predict(sample, time, encoderHiddenStates, options, beside) };
    });
  }

  /**
   * The parts of `forward`, for loops that record the last (UNetSteps): the checks …
   * @returns a timestep per image
   */
  check(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    options: UNetForwardOptions = {},
  ): readonly number[] {
    checkSample("UNet2DConditionModel", sample, this.config.in_channels);
    const batch = sample.shape[0];
    this.#checkPrompt(encoderHiddenStates, batch, options.encoderAttentionMask);
    this.#residuals(options, sample);
    return timestepsFor("UNet2DConditionModel", timestep, batch);
  }

  /** … all that the blocks take of the timesteps and of conditions that come as numbers, tensors [batch, …] … */
  embedConditions(
    sample: Tensor,
    timesteps: readonly number[],
    encoderHiddenStates: Tensor,
    options: UNetForwardOptions = {},
  ): Tensor[] {
    return sample.device.scope(() =>
      this.timeProducts(this.#embed(sample, timesteps, this.#prompt(encoderHiddenStates), options)),
    );
  }

  /**
   * … or, of models that know nothing of an image but its timestep (and timestepCond), for many timesteps at once: [timesteps, …],
   * with timestepCond [timesteps * batch, …] …
   */
  embedSchedule(device: Device, timesteps: readonly number[], timestepCond?: Tensor): Tensor[] {
    return device.scope(() => {
      const each = timestepCond?.shape[0] ?? 1;
      const rows = timesteps.flatMap((t) => new Array<number>(each).fill(t));
      const condition = timestepCond && repeatRows(timestepCond.reshape([1, timestepCond.size]), timesteps.length);
      const conditions = condition?.reshape([rows.length, timestepCond!.shape[1]]);
      return this.timeProducts(this.#finish(this.#embedTime(rows, device, conditions)));
    });
  }

  /** Whether embedSchedule() is all there is to know. */
  get embedsTimeAlone(): boolean {
    return !this.class_embedding && !this.add_embedding;
  }

  /**
   * … tokens of the pictures of each IP-Adapter, [batch, tokens, width] …
   * @param given for each IP-Adapter [batch, pictures, width], or [batch, pictures, tokens, width]
   * @throws TypeError, RangeError where they are not as the adapters that there are take them
   */
  embedImages(given: readonly Tensor[] | undefined, batch: number): Tensor[] {
    const adapters = this.#ipAdapters;
    this.#checkImages(given?.length ?? 0);
    return adapters.map((adapter, i) => adapter.tokensOf(this.as(given![i]), batch));
  }

  /**
   * … and the way through the network.
   * @param time of embedConditions()
   * @param beside residuals: of ControlNets; images: of embedImages(); features: of a T2I-Adapter, [batch, height, width, channels],
   *   of which featuresMisfit() has nothing to say
   * @returns the predicted sample
   */
  predict(
    sample: Tensor,
    time: readonly Tensor[],
    encoderHiddenStates: Tensor,
    { images = [], ...others }: Added & { images?: readonly Tensor[] } = {},
  ): Tensor {
    const beside = { ...others, images: this.#imagePrompts(images) };
    return sample.device.scope(() => this.#predict(sample, time, encoderHiddenStates, {}, beside));
  }

  #checkImages(count: number): void {
    const { length: wanted } = this.#ipAdapters;
    if (count !== wanted)
      throw new TypeError(
        `UNet2DConditionModel: has ${wanted} IP-Adapters, each of which takes pictures in addedCondKwargs: { imageEmbeds: [Tensor, …] }, ` +
          `got ${count || "none"}`,
      );
  }

  #imagePrompts(tokens: readonly Tensor[]): ImagePrompt[] {
    this.#checkImages(tokens.length);
    return this.#ipAdapters.map((adapter, i) => ({ adapter, tokens: tokens[i] }));
  }

  #predict(
    sample: Tensor,
    time: readonly Tensor[],
    encoderHiddenStates: Tensor,
    { encoderAttentionMask }: UNetForwardOptions,
    { residuals: added, images, features }: Added & { images: readonly ImagePrompt[] },
  ): Tensor {
    const mask = encoderAttentionMask && toFloat(encoderAttentionMask);
    const conditioning = {
      ...this.timeConditioning(time),
      context: this.#context(encoderHiddenStates),
      contextMask: mask,
      images,
    };
    const y = this.run(sample, conditioning, this.config.center_input_sample, { added, features });
    return y.dtype === sample.dtype ? y : cast(y, sample.dtype);
  }

  /** What reads pictures as prompts, in order; pipelines load them, see loadIpAdapter(). */
  get ipAdapters(): readonly IPAdapter[] {
    return this.#ipAdapters;
  }

  /** Takes others, whose weights are loaded; those it had are freed. */
  setIpAdapters(adapters: readonly IPAdapter[]): void {
    for (const adapter of this.#ipAdapters) adapter.dispose();
    this.#ipAdapters = [...adapters];
  }

  /**
   * The cross-attentions that IP-Adapters add to, in the order of diffusers' attn_processors.
   * @throws TypeError for a UNet whose blocks attend to the prompt otherwise
   */
  get promptAttentions(): AttentionPlace[] {
    const places = [...this.modules()].filter(
      (each): each is [string, Attention] => each[1] instanceof Attention && each[0].endsWith(".attn2"),
    );
    if (places.length === 0 || [...this.modules()].some(([, module]) => module instanceof AddedKVAttention))
      throw new TypeError("UNet2DConditionModel: IP-Adapters are for UNets of transformer blocks alone");
    const order = (path: string): number => ["down", "up", "mid"].findIndex((part) => path.startsWith(part));
    return places.sort(([a], [b]) => order(a) - order(b));
  }

  override async recover(options?: Pick<FromPretrainedOptions, "device" | "signal"> | null): Promise<void> {
    const lost = this.device!;
    await super.recover(options);
    try {
      for (const adapter of this.#ipAdapters)
        await adapter.load(this.device!, this.dtype, options?.signal ?? undefined);
    } catch (error) {
      // Still one whose device is lost, which can be recovered.
      this.dispose();
      this.placeOn(lost, this.dtype);
      throw error;
    }
  }

  override dispose(): void {
    super.dispose();
    for (const adapter of this.#ipAdapters) adapter.dispose();
  }

  /**
   * Python code may call it, and unfuseQkvProjections(): nothing changes, as projections of the same tokens are one product
   * always, but for those of DeepFloyd's blocks, which diffusers refuses to fuse.
   */
  fuseQkvProjections(): void {}

  unfuseQkvProjections(): void {}

  /**
   * FreeU (arXiv 2309.11497): from now on the two coarsest up blocks amplify what comes from below by `b1` and `b2`, and
   * scale the low frequencies of their skip connections by `s1` and `s2`. A factor of 0 turns it off, as in diffusers.
   */
  enableFreeu(factors: FreeUFactors): void {
    checkFactors("UNet2DConditionModel.enableFreeu", factors);
    const { s1, s2, b1, b2 } = factors;
    const stages = [
      { b: b1, s: s1 },
      { b: b2, s: s2 },
    ];
    this.disableFreeu();
    if (!(s1 && s2 && b1 && b2)) return;
    stages.forEach((stage, i) => {
      const block = this.up_blocks[i];
      // Of the kinds of block, diffusers has it in two.
      const type = this.config.up_block_types[i]?.replace(/^UNetRes/, "") ?? "";
      if (block instanceof UpBlock2D && ["UpBlock2D", "CrossAttnUpBlock2D"].includes(type)) block.setFreeU(stage);
    });
  }

  /** Ends enableFreeu(). */
  disableFreeu(): void {
    for (const block of this.up_blocks) if (block instanceof UpBlock2D) block.setFreeU(null);
  }

  #checkPrompt(prompt: Tensor, batch: number, mask: Tensor | undefined): void {
    const width = contextWidth(this.config);
    checkTensor("UNet2DConditionModel", `encoderHiddenStates [${batch}, tokens, ${width}]`, prompt);
    const [rows, tokens, given] = prompt.shape;
    if (rows !== batch || given !== width || prompt.shape.length !== 3)
      throw new RangeError(
        `UNet2DConditionModel: encoderHiddenStates must be [${batch}, tokens, ${width}], got [${prompt.shape.join(", ")}]`,
      );
    if (mask && mask.shape.join() !== [batch, tokens].join())
      throw new RangeError(
        `UNet2DConditionModel: encoderAttentionMask must be [${batch}, ${tokens}], got [${mask.shape.join(", ")}]`,
      );
  }

  /**
   * Whether a T2I-Adapter's features go with this UNet.
   * @param sides of the latents
   * @param shapes [height, width, channels] of each feature
   * @returns what is wrong with them, for messages; null if nothing is
   */
  featuresMisfit(
    sides: readonly [height: number, width: number],
    shapes: readonly (readonly number[])[],
  ): string | null {
    return misfit(shapes, this.featurePlaces(sides), this.mid_block !== null);
  }

  #residuals(options: UNetForwardOptions, { shape: [batch, , ...sides] }: Tensor): GivenResiduals {
    for (const [name, value] of Object.entries(options))
      if (value != null && !(name in KNOWN))
        throw new TypeError(`UNet2DConditionModel: ${name} was given, but nothing here computes it`);
    const { downBlockAdditionalResiduals: down, midBlockAdditionalResidual: mid } = options;
    if (!down !== !mid)
      throw new TypeError(
        "UNet2DConditionModel: downBlockAdditionalResiduals and midBlockAdditionalResidual must be given together (those of a T2IAdapter " +
          "are downIntrablockAdditionalResiduals)",
      );
    const { downIntrablockAdditionalResiduals: features } = options;
    if (features) this.#checkFeatures(features, batch, sides as [number, number]);
    return { down, mid, features };
  }

  #checkFeatures(features: readonly Tensor[], batch: number, sides: readonly [height: number, width: number]): void {
    const name = "downIntrablockAdditionalResiduals";
    if (!Array.isArray(features))
      throw new TypeError(`UNet2DConditionModel: ${name} must be a list of Tensors, got ${noTensor(features)}`);
    for (const [i, feature] of (features as readonly Tensor[]).entries()) {
      checkTensor("UNet2DConditionModel", `${name}[${i}]`, feature);
      const { shape } = feature;
      if (shape.length !== 4 || (shape[0] !== batch && shape[0] !== 1))
        throw new RangeError(
          `UNet2DConditionModel: ${name}[${i}] must be [${batch}, channels, height, width], got [${shape.join(", ")}]`,
        );
    }
    const shapes = (features as readonly Tensor[]).map(({ shape: [, channels, height, width] }) => [
      height,
      width,
      channels,
    ]);
    const wrong = this.featuresMisfit(sides, shapes);
    if (wrong) throw new RangeError(`UNet2DConditionModel: ${name}: ${wrong}`);
  }

  /** The time embedding with all that is added to it, [batch, width]. */
  #embed(sample: Tensor, timesteps: readonly number[], prompt: Tensor, options: UNetForwardOptions): Tensor {
    const { timestepCond: condition, addedCondKwargs: added } = options;
    const { config } = this;
    const { imageEmbeds, image_embeds = imageEmbeds, ...others } = added ?? {};
    const imagesAlone = image_embeds !== undefined && Object.keys(others).length === 0;
    if (added && !imagesAlone && !this.add_embedding)
      throw new TypeError("UNet2DConditionModel: addedCondKwargs was given, but config addition_embed_type is null");
    let embedding = this.#embedTime(timesteps, sample.device, condition);
    const classes = embedClasses(
      "UNet2DConditionModel",
      this.class_embedding,
      options.classLabels,
      this.embedContext(sample),
    );
    if (classes) embedding = config.class_embeddings_concat ? concat(embedding, classes, 1) : add(embedding, classes);
    const addition = this.add_embedding?.embed(prompt, this.dtype, added);
    if (addition) embedding = add(embedding, addition);
    return this.#finish(embedding);
  }

  #embedTime(timesteps: readonly number[], device: Device, condition: Tensor | undefined): Tensor {
    if (condition && !this.time_embedding.cond_proj)
      throw new TypeError("UNet2DConditionModel: timestepCond was given, but config time_cond_proj_dim is null");
    return this.embedTime(timesteps, device, condition && this.as(condition));
  }

  #finish(embedding: Tensor): Tensor {
    const last = this.config.time_embedding_act_fn;
    return last === null ? embedding : activate(embedding, activationOf(last));
  }

  /** The prompt in the dtype of the weights. Kept with it, and so are the keys and values that the blocks make of it. */
  #prompt(given: Tensor): Tensor {
    return given.dtype === this.dtype ? given : given.memo(this, () => [cast(given, this.dtype)])[0];
  }

  /** The prompt as the blocks take it; a projection is kept with the prompt. */
  #context(given: Tensor): Tensor {
    const projection = this.encoder_hid_proj;
    const prompt = this.#prompt(given);
    return projection ? given.memo(projection, () => [projection.forward(prompt)], weightsOf(projection))[0] : prompt;
  }
}
