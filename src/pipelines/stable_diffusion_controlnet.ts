/** Text and a guiding picture to picture, diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import { shown } from "../arguments/shown.js";
import { throwIfAborted } from "../arguments/signal.js";
import { ControlNetModel } from "../nn/controlnet.js";
import { MultiControlNetModel } from "../nn/multi_controlnet.js";
import { checkGeneratorTypes } from "../schedulers/noise.js";
import type { Tensor } from "../tensor/tensor.js";
import { CONTROLNET_TENSORS } from "./callback_tensors.js";
import { takeOptions, type OptionTable } from "./call_options.js";
import { checkControlImages, checkControls, checkSides, expectSameTrunk } from "./check_controlnet.js";
import { CALL_OPTIONS, checkPrompts, checkTensor, type CallOptions } from "./check_inputs.js";
import { controlPlanes, controlTensor, type ControlImage } from "./control_images.js";
import { Controls } from "./controls.js";
import type { ComponentClass } from "./given_components.js";
import { warnOfLegacyCallback } from "./legacy_callback.js";
import { needComponent } from "./needed_components.js";
import { prepareLatents, prepareTimesteps } from "./prepare.js";
import type { RawImage } from "./raw_image.js";
import { StableDiffusionBase } from "./stable_diffusion_base.js";
import type {
  CallbackOnStepEnd,
  ControlNetCallbackTensors,
  Prompt,
  StableDiffusionComponents,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "./stable_diffusion_options.js";

/** Parts by their names in model_index.json; see StableDiffusionComponents. */
export type ControlNetComponents = StableDiffusionComponents & {
  /** One, or a list of those that steer together. */
  controlnet: ControlNetModel | MultiControlNetModel | readonly ControlNetModel[] | null;
};

/** Arguments of a call; names and defaults as diffusers' StableDiffusionControlNetPipeline.__call__. */
export interface ControlNetPipelineOptions extends Omit<
  StableDiffusionOptions,
  "guidanceRescale" | "callbackOnStepEnd" | "callbackOnStepEndTensorInputs"
> {
  /**
   * What the ControlNet reads (edges, depth, a pose): one picture, or one for each prompt. Of several ControlNets a list with an entry
   * for each of them, or a list for each prompt with a picture for each of them. Tensors, in [0, 1], are not disposed.
   */
  image: ControlImage | readonly ControlImage[];
  /** Pixels, cut down to multiples of vaeScaleFactor; by default those of the picture, which is made as large. */
  height?: number | null;
  width?: number | null;
  /** How strongly the picture steers; of several ControlNets one number or a list. Default 1. */
  controlnetConditioningScale?: number | readonly number[];
  /** Lets the picture alone steer, with or without a prompt; guidanceScale 3 to 5 goes with it. Default false. */
  guessMode?: boolean;
  /** From which part of the steps on it steers, 0 to 1; of several ControlNets one number or a list. Default 0. */
  controlGuidanceStart?: number | readonly number[];
  /** Until which part of the steps. Default 1. */
  controlGuidanceEnd?: number | readonly number[];
  /** Called after each step, or an object that knows which tensors it wants: SDCFGCutoffCallback and the like. */
  callbackOnStepEnd?: CallbackOnStepEnd<ControlNetCallbackTensors> | null;
  /** Which tensors the callback gets. Default ["latents"]; a PipelineCallback says so itself. */
  callbackOnStepEndTensorInputs?: readonly (keyof ControlNetCallbackTensors)[] | null;
}

function optionTable(): OptionTable<Required<ControlNetPipelineOptions>> {
  const { guidanceRescale: _rescale, ...shared } = CALL_OPTIONS;
  return {
    image: false,
    controlnetConditioningScale: false,
    guessMode: false,
    controlGuidanceStart: false,
    controlGuidanceEnd: false,
    ...shared,
  };
}
const OPTIONS = optionTable();

const KINDS = [ControlNetModel, MultiControlNetModel];
const ANY_CONTROLNET: ComponentClass = {
  className: ControlNetModel.className,
  [Symbol.hasInstance]: (value) => KINDS.some((Kind) => listOf(value).every((each) => each instanceof Kind)),
};
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionControlNetPipeline {
  (
    prompt: Prompt,
    options: ControlNetPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: ControlNetPipelineOptions): Promise<StableDiffusionOutput>;
}

/**
 * Text to picture, steered by another picture (Zhang et al. 2023).
 * @example
 * const controlnet = await ControlNetModel.fromPretrained("lllyasviel/sd-controlnet-canny", { dtype: "float16" });
 * const pipeline = await StableDiffusionControlNetPipeline.fromPretrained(repo, { controlnet, dtype: "float16" });
 * const { images } = await pipeline("a bird", { image: await RawImage.open("edges.png") });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionControlNetPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionControlNetPipeline";
  static override readonly componentNames = [...StableDiffusionBase.componentNames, "controlnet"];
  static override readonly componentClasses = { ...StableDiffusionBase.componentClasses, controlnet: ANY_CONTROLNET };
  /** Another one may be assigned; a list of them as `new MultiControlNetModel(list)`. */
  controlnet: ControlNetModel | MultiControlNetModel;

  constructor(components: ControlNetComponents) {
    super(components);
    const { controlnet } = components;
    this.controlnet = (
      Array.isArray(controlnet) ? new MultiControlNetModel(controlnet as ControlNetModel[]) : controlnet
    ) as ControlNetModel;
  }

  override get components(): ControlNetComponents {
    return super.components as ControlNetComponents;
  }

  /**
   * Draws pictures as large as the guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: ControlNetPipelineOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const {
      image,
      controlnetConditioningScale = 1,
      guessMode = false,
      controlGuidanceStart = 0,
      controlGuidanceEnd = 1,
      ...rest
    } = takeOptions(className, given, OPTIONS, "warn");
    const options = rest as CallOptions;
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, controlnet, vaeScaleFactor: scaleFactor } = this;
    needComponent(className, "controlnet", controlnet, { classes: KINDS, purpose: "to read the guiding picture" });
    const isList = controlnet instanceof MultiControlNetModel;
    const models = isList ? controlnet.nets : [controlnet];
    for (const model of models) expectSameTrunk(className, unet, model);
    checkPrompts(prompt, options, device, CONTROLNET_TENSORS);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    if (typeof guessMode !== "boolean")
      throw new TypeError(`\`guessMode\` must be true or false, got ${shown(guessMode)}`);
    const numbers = { image, controlnetConditioningScale, controlGuidanceStart, controlGuidanceEnd };
    const nets = checkControls(models, isList, numbers);
    const prompts = typeof prompt === "string" ? 1 : (prompt?.length ?? options.promptEmbeds?.shape[0] ?? 1);
    const images = checkControlImages(image, { isList, nets: nets.length, prompts, device });
    const { height, width, numImagesPerPrompt: each = 1 } = options;
    checkSides({ height, width }, scaleFactor);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    // As in diffusers results that are one for all pixels steer the prompts alone.
    const guess = guessMode || models[0].config.global_pool_conditions;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        latents: async (batch, dtype, { length: steps }) => {
          const planes = await controlPlanes(images, { height, width, scaleFactor });
          const sides = planes[0].shape.slice(2).map((side) => Math.floor(side / scaleFactor));
          const twice = this.doClassifierFreeGuidance && !guess;
          const begun = device.scope(() => ({
            latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
              ...options,
              dtype,
            }),
            tensors: planes.map((of) => controlTensor(device, of, { batch, each, twice })),
          }));
          const controls = new Controls(nets, begun.tensors, { guessMode: guess, isList, steps });
          return { latents: begun.latents, controls };
        },
      },
      options,
    );
  }
}
