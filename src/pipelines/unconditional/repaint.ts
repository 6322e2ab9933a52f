import { RePaintScheduler } from "../../schedulers/index.js";
import { stepNoise } from "../../schedulers/noise.js";
import { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkFinite } from "../call/check_inputs.js";
import { checkGenerators } from "../call/initial_noise.js";
import type { ImageInput } from "../images/image_processor.js";
import type { MaskInput } from "../images/mask_processor.js";
import type { Planes } from "../images/planes.js";
import type { RawImage } from "../images/raw_image.js";
import type { Need } from "../loading/needed_components.js";
import { repaintSource } from "./repaint_inputs.js";
import { UnconditionalPipeline, type ImagePipelineOutput, type UnconditionalOptions } from "./unconditional.js";
import type { Way } from "./unconditional_loop.js";

/** Arguments of a call; names and defaults as diffusers' RePaintPipeline.__call__. There are as many pictures as are given. */
export interface RePaintOptions extends Omit<UnconditionalOptions, "batchSize"> {
  /** What to repaint: pictures, whose sides are cut to multiples of 8, or tensors [batch, channels, height, width] in [-1, 1]. */
  image: ImageInput | readonly ImageInput[];
  /** White where the picture stays, black where it is drawn anew: pictures, or tensors [1 or batch, 1, height, width] of 0 to 1. */
  maskImage: MaskInput | readonly MaskInput[];
  /** Default 250. */
  numInferenceSteps?: number;
  /** Weight of the steps' noise: 0 (the default) is DDIM, 1 is DDPM. */
  eta?: number;
  /** Steps that a jump back goes. Default 10. */
  jumpLength?: number;
  /** How often each part of the schedule is gone. Default 10. */
  jumpNSample?: number;
}

const OPTIONS = {
  ...{ generator: true, numInferenceSteps: false, outputType: false, signal: true },
  ...{ image: false, maskImage: false, eta: false, jumpLength: false, jumpNSample: false },
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface RePaintPipeline {
  (options: RePaintOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options: RePaintOptions): Promise<ImagePipelineOutput>;
}

/**
 * A part of a picture drawn anew by a model of pictures from noise alone (Lugmayr et al. 2022, arXiv 2201.09865): any of DDPMPipeline's
 * with a RePaintScheduler. diffusers/pipelines/deprecated/repaint/pipeline_repaint.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class RePaintPipeline extends UnconditionalPipeline {
  static override readonly className: string = "RePaintPipeline";

  protected override get schedulerNeed(): Need {
    const cure = "RePaintScheduler.fromConfig(pipeline.scheduler.config) makes one";
    return { classes: [RePaintScheduler], purpose: `to draw, ${cure}` };
  }

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws TypeError, RangeError for wrong arguments; the signal's reason when aborted
   * @example
   * const scheduler = await RePaintScheduler.fromPretrained("google/ddpm-ema-celebahq-256");
   * const pipeline = await RePaintPipeline.fromPretrained("google/ddpm-ema-celebahq-256", { scheduler });
   * const { images } = await pipeline({ image, maskImage, generator: new Generator("cpu").manualSeed(0) });
   */
  override async call(given: RePaintOptions): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions<RePaintOptions>("RePaintPipeline", given, OPTIONS, "refuse");
    const { image, maskImage, numInferenceSteps = 250, eta = 0, jumpLength, jumpNSample, generator } = options;
    checkFinite("eta", eta);
    this.expectModels();
    const { device } = this;
    const source = await repaintSource(image, maskImage, device);
    const [batchSize] = source.image.shape;
    checkGenerators(generator, batchSize);
    return this.drawBy<RePaintScheduler>({ ...options, batchSize, numInferenceSteps }, (scheduler): Way => {
      const made: Tensor[] = [];
      const upload = ({ values, shape }: Planes): Tensor => {
        const tensor = Tensor.from(values, shape, { device });
        made.push(tensor);
        return tensor;
      };
      let kept: { originalImage: Tensor; mask: Tensor };
      let last = Infinity;
      const inSteps = { generator: stepNoise(this.unet.dtype, Array.isArray(generator) ? generator[0] : generator) };
      return {
        shape: source.image.shape,
        schedule: () => {
          scheduler.setTimesteps(numInferenceSteps, { jumpLength, jumpNSample });
          scheduler.eta = eta;
          kept = { originalImage: upload(source.image), mask: upload(source.mask) };
        },
        step: ({ t, sample, predict }) => {
          const before = last;
          last = t;
          if (t > before) return { sample: scheduler.undoStep(sample, before, inSteps) };
          return { sample: scheduler.step(predict(sample, t), t, sample, { ...kept, ...inSteps }).prevSample };
        },
        dispose: () => made.forEach((tensor) => tensor.dispose()),
      };
    });
  }
}
