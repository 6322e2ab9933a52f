/** What the pipelines without a prompt have in common: a UNet, a scheduler, and a loop from noise to pictures. */
import { shown } from "../arguments/shown.js";
import { checkGeneratorTypes } from "../schedulers/noise.js";
import { throwIfAborted } from "../arguments/signal.js";
import { UNet2DModel } from "../nn/unet_2d.js";
import { Scheduler, type StepOptions } from "../schedulers/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { DiffusionPipeline } from "./diffusion_pipeline.js";
import type { OptionTable } from "./call_options.js";
import { FiniteCheck } from "./finite_check.js";
import { initialNoise } from "./initial_noise.js";
import { needComponent } from "./needed_components.js";
import { outputImages, type ImageOutputType } from "./output_images.js";
import { Pace } from "./pace.js";
import { ProgressBar } from "./progress_bar.js";
import type { RawImage } from "./raw_image.js";
import { inTurn } from "./in_turn.js";

/** Arguments of a call; names and defaults as in diffusers. */
export interface UnconditionalOptions {
  /** Number of pictures. Default 1. */
  batchSize?: number;
  /** The seed's random numbers; a list has one generator per picture. By default unrepeatable noise. */
  generator?: StepOptions["generator"];
  /** Default 1000 of DDPMPipeline, 50 of the others. */
  numInferenceSteps?: number;
  /** "image" (RawImage, the default), "np" (Tensor NHWC in [0, 1]) or "pt" (Tensor NCHW in [0, 1]). */
  outputType?: ImageOutputType;
  /** Stops within one step and frees everything; the call rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What a call of an unconditional pipeline gives: RawImage[] for "image", a Tensor for the other output types. */
export interface ImagePipelineOutput<Images = RawImage[]> {
  /** The caller disposes a Tensor. */
  images: Images;
}

const NEEDS = {
  unet: { classes: [UNet2DModel], purpose: "to draw" },
  scheduler: { classes: [Scheduler], purpose: "to draw" },
};

const OUTPUT_TYPES: readonly string[] = ["image", "pil", "np", "pt"];

/** Of all these pipelines. */
export const UNCONDITIONAL_OPTIONS: OptionTable<Required<UnconditionalOptions>> = {
  batchSize: false,
  generator: true,
  numInferenceSteps: false,
  outputType: false,
  signal: true,
};

/** Parts by their names in model_index.json; null for one that is left out. */
// A type, not an interface: code for any class goes through components by name.
export type UnconditionalComponents = {
  unet: UNet2DModel | null;
  /** DDIMPipeline and PNDMPipeline make one of their own of its config. */
  scheduler: Scheduler | null;
};

export abstract class UnconditionalPipeline extends DiffusionPipeline {
  static override readonly componentNames: readonly string[] = ["unet", "scheduler"];
  static override readonly componentClasses = { unet: UNet2DModel };
  // A component that was given as null is null, whatever its type says; calls that need it say so.
  unet: UNet2DModel;
  scheduler: Scheduler;

  constructor(components: UnconditionalComponents) {
    super();
    const { unet, scheduler } = (components as Partial<UnconditionalComponents> | undefined) ?? {};
    const { className } = new.target as unknown as { className: string };
    if (unet !== null && !(unet instanceof UNet2DModel))
      throw new TypeError(`${className}: the component \`unet\` is no UNet2DModel`);
    if (scheduler !== null && !(scheduler instanceof Scheduler))
      throw new TypeError(`${className}: the component \`scheduler\` is not a scheduler`);
    this.unet = unet as UNet2DModel;
    this.scheduler = scheduler as Scheduler;
  }

  override get components(): UnconditionalComponents {
    return super.components as UnconditionalComponents;
  }

  /**
   * From noise to pictures, when the calls before on the same pipeline or scheduler are done. `stepOptions` go to every step of the
   * scheduler.
   */
  protected async draw(
    options: UnconditionalOptions,
    stepOptions: StepOptions,
  ): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const { className } = this;
    for (const name of ["unet", "scheduler"] as const) needComponent(className, name, this[name], NEEDS[name]);
    this.expectModels();
    const { scheduler } = this;
    const { batchSize = 1, numInferenceSteps, outputType = "image", signal } = options;
    checkGeneratorTypes(options.generator);
    checkCount("batchSize", batchSize);
    checkCount("numInferenceSteps", numInferenceSteps);
    if (!OUTPUT_TYPES.includes(outputType))
      throw new RangeError(`\`outputType\` must be one of ${OUTPUT_TYPES.join(", ")}, got ${shown(outputType)}`);
    const shape = [batchSize, this.unet.config.in_channels, ...sampleSize(this.unet)];
    throwIfAborted(signal);
    const images = await inTurn([this, scheduler], signal, () =>
      this.thenFree(() =>
        this.withModels(["unet"], () => this.#images(shape, scheduler, { ...options, outputType }, stepOptions)),
      ),
    );
    return { images };
  }

  async #images(
    shape: readonly number[],
    scheduler: Scheduler,
    { generator, numInferenceSteps, outputType, signal }: UnconditionalOptions & { outputType: ImageOutputType },
    stepOptions: StepOptions,
  ): Promise<RawImage[] | Tensor> {
    const { device, unet } = this;
    this.interrupt = false;
    let image: Tensor | undefined;
    let check: FiniteCheck | undefined;
    try {
      scheduler.setTimesteps(numInferenceSteps as number);
      // Sample gaussian noise to begin loop
      image = initialNoise(device, shape, { generator, dtype: unet.dtype });
      check = new FiniteCheck(device, scheduler.timesteps.length + 1);
      image = await this.#denoise(image, scheduler, check, stepOptions, signal);
      const drawn = image;
      const { images } = await outputImages(device, () => drawn, outputType, {
        check,
        module: "scheduler",
        signals: [signal],
      });
      return images;
    } finally {
      check?.dispose();
      image?.dispose();
      scheduler.reset();
      device.trim();
      await device.flush();
    }
  }

  /** Disposes `noise`. */
  async #denoise(
    noise: Tensor,
    scheduler: Scheduler,
    check: FiniteCheck,
    stepOptions: StepOptions,
    signal?: AbortSignal,
  ): Promise<Tensor> {
    const { device, unet } = this;
    const bar = new ProgressBar(scheduler.timesteps.length, this.progressBarConfig);
    const pace = new Pace(device);
    let image = noise;
    try {
      for (const [step, t] of scheduler.timesteps.entries()) {
        signal?.throwIfAborted();
        this.expectModels();
        if (this.interrupt) break;
        const current = image;
        // 1. predict noise model_output  2. compute previous image: x_t -> x_t-1
        image = device.scope(() => {
          const noise = unet.forward(current, t).sample;
          check.look(noise, { module: "unet", step });
          return scheduler.step(noise, t, current, stepOptions).prevSample;
        });
        current.dispose();
        await pace.step();
        bar.update();
      }
      return image;
    } catch (error) {
      image.dispose();
      throw error;
    } finally {
      bar.close();
    }
  }
}

function checkCount(name: string, value: unknown): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    throw new RangeError(`\`${name}\` must be a positive integer, got ${shown(value)}`);
}

function sampleSize({ config }: UNet2DModel): number[] {
  const { sample_size: size } = config;
  if (typeof size === "number") return [size, size];
  if (size?.length === 2) return size;
  throw new TypeError(
    `UNet2DModel: the config's sample_size is ${shown(size)}, so the size of the pictures is not known; load the ` +
      "UNet with { config: { sample_size: 32 } } or the like and give it to the pipeline",
  );
}
