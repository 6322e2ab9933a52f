/** What the pipelines without a prompt have in common: a UNet, a scheduler, and what a call takes. */
import { shown } from "../../arguments/shown.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { UNet2DModel } from "../../nn/unet/unet_2d.js";
import { Scheduler, type StepOptions } from "../../schedulers/index.js";
import { checkGeneratorTypes, stepNoise } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { OptionTable } from "../call/call_options.js";
import { inTurn } from "../call/in_turn.js";
import type { ImageOutputType } from "../call/output_images.js";
import { ProgressBar } from "../call/progress_bar.js";
import { DiffusionPipeline } from "../diffusion_pipeline.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent, type Need } from "../loading/needed_components.js";
import { drawImages, type Run, type Way } from "./unconditional_loop.js";

/** Arguments of a call; names and defaults as in diffusers. */
export interface UnconditionalOptions {
  /** Number of pictures. Default 1. */
  batchSize?: number;
  /** The seed's random numbers; a list has one generator per picture. By default unrepeatable noise. */
  generator?: StepOptions["generator"];
  /** Default 1000 of DDPMPipeline, 2000 of ScoreSdeVePipeline, 50 of DDIM, PNDM and KarrasVe. */
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

const NEEDS_UNET = { classes: [UNet2DModel], purpose: "to draw" };

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

  /** What kind of scheduler a call needs. */
  protected get schedulerNeed(): Need {
    return { classes: [Scheduler], purpose: "to draw" };
  }

  /** `drawBy` with the plain loop: the UNet's output goes into the scheduler's step, with `stepOptions`. */
  protected draw(
    options: UnconditionalOptions & { numInferenceSteps: number },
    stepOptions: StepOptions,
  ): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    return this.drawBy<Scheduler>(options, (scheduler) => {
      const told = { ...stepOptions, generator: stepNoise(this.unet.dtype, stepOptions.generator) };
      return {
        step: ({ t, sample, predict }) => ({ sample: scheduler.step(predict(sample, t), t, sample, told).prevSample }),
      };
    });
  }

  /**
   * From noise to pictures, when the calls before on the same pipeline or scheduler are done.
   * @param options numInferenceSteps: null where the way sets a schedule of its own
   * @param way what the class does in the loop, with the scheduler that the call begins with
   */
  protected async drawBy<S extends Scheduler>(
    options: Omit<UnconditionalOptions, "numInferenceSteps"> & { numInferenceSteps: number | null },
    way: (scheduler: S) => Way,
  ): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const { className, unet, scheduler } = this;
    needComponent(className, "unet", unet, NEEDS_UNET);
    needComponent(className, "scheduler", scheduler, this.schedulerNeed);
    this.expectModels();
    const { batchSize = 1, numInferenceSteps, outputType = "image", signal, generator } = options;
    checkGeneratorTypes(generator);
    checkCount("batchSize", batchSize);
    if (numInferenceSteps !== null) checkCount("numInferenceSteps", numInferenceSteps);
    if (!OUTPUT_TYPES.includes(outputType))
      throw new RangeError(`\`outputType\` must be one of ${OUTPUT_TYPES.join(", ")}, got ${shown(outputType)}`);
    const made = way(scheduler as S);
    const shape = made.shape ?? [batchSize, unet.config.in_channels, ...sampleSize(unet)];
    throwIfAborted(signal);
    const run = { unet, scheduler, shape, numInferenceSteps, generator, outputType, signal };
    const images = await inTurn([this, scheduler], signal, () =>
      this.thenFree(() => this.withModels(["unet"], () => this.#images(run, made))),
    );
    return { images };
  }

  async #images(run: Run, way: Way): Promise<RawImage[] | Tensor> {
    this.interrupt = false;
    const bar = (steps: number): ProgressBar => new ProgressBar(steps, this.progressBarConfig);
    const goesOn = (): boolean => (this.expectModels(), !this.interrupt);
    return drawImages(this.device, run, way, { bar, goesOn });
  }
}

/** @throws RangeError unless it is one */
export function checkCount(name: string, value: unknown): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    throw new RangeError(`\`${name}\` must be a positive integer, got ${shown(value)}`);
}

/** Sides of the pictures. @throws TypeError for a config that does not tell */
export function sampleSize({ config }: UNet2DModel): readonly number[] {
  const { sample_size: size } = config;
  if (typeof size === "number") return [size, size];
  if (size?.length === 2) return size;
  throw new TypeError(
    `UNet2DModel: the config's sample_size is ${shown(size)}, so the size of the pictures is not known; load the ` +
      "UNet with { config: { sample_size: 32 } } or the like and give it to the pipeline",
  );
}
