/** What both unCLIP pipelines do with embeddings of pictures (Ramesh et al. 2022), noise_image_embeddings of diffusers' classes. */
import { shown } from "../../arguments/shown.js";
import { inOwnSpelling } from "../../arguments/spelling.js";
import { timestepEmbedding } from "../../nn/embeddings.js";
import { notYet } from "../../nn/not_yet.js";
import { StableUnCLIPImageNormalizer } from "../../nn/unclip/image_normalizer.js";
import { Scheduler } from "../../schedulers/index.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { toFloat } from "../../tensor/ops/to_float.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkTensor, type CallOptions } from "../call/check_inputs.js";
import { inBatch } from "../call/guidance.js";
import { noiseAdder } from "../call/image_latents.js";
import { firstGenerators, initialNoise } from "../call/initial_noise.js";
import { needComponent } from "../loading/needed_components.js";
import { PromptedDiffusion } from "../stable_diffusion/prompted_diffusion.js";
import type { UnCLIPComponents } from "./unclip_options.js";

const purpose = "to add noise to embeddings of pictures";
const NEEDS = {
  image_normalizer: { classes: [StableUnCLIPImageNormalizer], purpose },
  image_noising_scheduler: { classes: [Scheduler], purpose },
};

/** Options of noiseImageEmbeddings(); null is as nothing, as Python's None. */
export interface NoiseImageOptions {
  /** Of the shape of the embeddings, instead of drawn noise. Not disposed. */
  noise?: Tensor | null;
  /** The seed's random numbers; a list has one generator per picture. */
  generator?: CallOptions["generator"];
}

/** Adds noise of a level, see noiseImageEmbeddings(). */
export type Noiser = (imageEmbeds: Tensor, options: NoiseImageOptions) => Tensor;

export abstract class UnCLIPBase extends PromptedDiffusion {
  static override readonly componentClasses = {
    ...PromptedDiffusion.componentClasses,
    image_normalizer: StableUnCLIPImageNormalizer,
  };
  image_normalizer: StableUnCLIPImageNormalizer;
  /** Adds noise to embeddings of pictures; another one may be assigned. */
  image_noising_scheduler: Scheduler;
  override readonly callsBackEachTime = true;

  constructor(components: UnCLIPComponents) {
    super(components);
    this.image_normalizer = components.image_normalizer as StableUnCLIPImageNormalizer;
    this.image_noising_scheduler = components.image_noising_scheduler as Scheduler;
  }

  /**
   * What the UNet is told of pictures: their embeddings under noise, and behind them how much that is.
   * @param imageEmbeds [batch, width]; not disposed
   * @param noiseLevel a whole number from 0 up to, but without, the num_train_timesteps of image_noising_scheduler
   * @returns float32 [batch, 2 * width]; the caller disposes it
   * @throws RangeError, TypeError for wrong arguments
   */
  async noiseImageEmbeddings(imageEmbeds: Tensor, noiseLevel: number, given: NoiseImageOptions = {}): Promise<Tensor> {
    const { noise, generator } = inOwnSpelling(given, ["noise", "generator"], `${this.className}.noiseImageEmbeddings`);
    this.expectModels();
    const noiser = this.noiser(noiseLevel);
    checkTensor("imageEmbeds", imageEmbeds ?? null, ["batch", "width"], this.device);
    checkTensor("noise", noise ?? undefined, ["batch", "width"], this.device);
    checkGeneratorTypes(generator);
    const noised = await this.withModels(["image_normalizer"], async () => noiser(imageEmbeds, { noise, generator }));
    await this.device.flush();
    return noised;
  }

  /**
   * noiseImageEmbeddings() with the components of this moment, in the caller's scope; noise is drawn in the dtype of the embeddings.
   * @throws TypeError, RangeError where no noise of this level can be added
   */
  protected noiser(level: unknown): Noiser {
    const { className, device, image_normalizer: normalizer, image_noising_scheduler: scheduler } = this;
    for (const name of ["image_normalizer", "image_noising_scheduler"] as const)
      needComponent(className, name, this[name], NEEDS[name]);
    const addNoise = noiseAdder(className, scheduler);
    const { num_train_timesteps: most = 1000 } = scheduler.config as { num_train_timesteps?: number };
    if (typeof level !== "number" || !Number.isSafeInteger(level) || level < 0 || level >= most)
      throw new RangeError(
        `\`noiseLevel\` must be a whole number between 0 and ${most - 1}, inclusive, got ${shown(level)}`,
      );
    return (embeds, { noise, generator }) =>
      device.scope(() => {
        const [count, width] = embeds.shape;
        const first = firstGenerators(generator, count);
        const drawn = noise
          ? toFloat(noise)
          : initialNoise(device, embeds.shape, { generator: first, dtype: embeds.dtype });
        const moved = normalizer.unscale(addNoise(normalizer.scale(embeds), drawn, level));
        const told = timestepEmbedding([level], width, { flipSinToCos: true, freqShift: 0 });
        return concat(moved, repeatRows(Tensor.from(told, [1, width], { device }), count), 1);
      });
  }

  /** Rows for all branches of guidance, where there is any: what it leads away from knows no picture. */
  protected guidedLabels(labels: Tensor): Tensor {
    if (!this.doClassifierFreeGuidance) return labels;
    return inBatch(this.guidance.branches, { positive: labels, negative: linearCombination([[0, labels]]) });
  }

  /** @throws RangeError for a UNet that is not told of pictures, or of others than these */
  protected expectLabels(width: number): void {
    const { class_embed_type: type, projection_class_embeddings_input_dim: wanted } = this.unet.config;
    if (this.unet.class_embedding && ["projection", "simple_projection"].includes(String(type)) && wanted === 2 * width)
      return;
    throw new RangeError(
      `${this.className}: the UNet must be told of pictures' embeddings, ${2 * width} numbers: class_embed_type "projection" and ` +
        `projection_class_embeddings_input_dim, got ${shown(type)} and ${shown(wanted)}`,
    );
  }

  /** Python's classes have neither. */
  override loadIpAdapter(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadIpAdapter"));
  }

  override unloadIpAdapter(): Promise<never> {
    return this.loadIpAdapter();
  }
}
