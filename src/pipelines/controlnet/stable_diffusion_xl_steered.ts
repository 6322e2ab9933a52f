/** How Stable Diffusion XL draws with ControlNets of any kind. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkPrompts, checkTensor, type CallOptions } from "../call/check_inputs.js";
import type { PromptEmbeds } from "../call/encode_prompt.js";
import { inpaintCall, type InpaintSources } from "../call/inpaint_call.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { ImageInput } from "../images/image_processor.js";
import type { Planes } from "../images/planes.js";
import type { RawImage } from "../images/raw_image.js";
import type { ComponentClass } from "../loading/given_components.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import {
  checkPromptsXL,
  checkSizesXL,
  type XLCallOptions,
  type XLPictureCallOptions,
} from "../stable_diffusion_xl/check_inputs_xl.js";
import { StableDiffusionXLBase } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { pictureTimeIds, textTimeIds } from "../stable_diffusion_xl/time_ids_xl.js";
import { pictureTimesteps, untilDenoisingEnd } from "../stable_diffusion_xl/timesteps_xl.js";
import { checkSides } from "./check_controlnet.js";
import { controlCall } from "./control_call.js";
import { controlImg2ImgCall } from "./control_img2img.js";
import type { ControlNets, ControlNetUnions } from "./controlnet_component.js";
import type { SteeringOptions } from "./steering_options.js";

/** What its nets read, under either name. */
type Read = SteeringOptions & Partial<Record<"image" | "controlImage" | "controlMode", unknown>>;
type ImageSource = { image: ImageInput | readonly ImageInput[] };
type Drawn = Promise<StableDiffusionXLOutput<RawImage[] | Tensor>>;

export abstract class StableDiffusionXLSteered<
  Nets extends ControlNets | ControlNetUnions,
> extends StableDiffusionXLBase {
  /** Another one may be assigned; a list of them as a model that is made of the list. */
  abstract controlnet: Nets;
  /** Classes that `controlnet` may be of. */
  abstract readonly controlNetKinds: readonly ComponentClass[];

  /** @param how where the pictures are that nets read, and the tensors that callbacks may ask for */
  protected async drawText(
    prompt: Prompt,
    options: XLCallOptions & Read,
    { argument, tensors }: { argument: "image" | "controlImage"; tensors: readonly string[] },
  ): Drawn {
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor: scaleFactor } = this;
    checkPrompts(prompt, options, device, tensors);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    const control = controlCall(this, prompt, { argument }, options);
    const { height, width } = options;
    checkSides({ height, width }, scaleFactor);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    let planes: readonly Planes[];
    let steps: number;
    const { images } = await this.run(
      run,
      {
        prompts: async () => {
          planes = await control.planes({ height, width, scaleFactor });
          const [, , high, wide] = planes[0].shape;
          return this.promptEmbeds(prompt, options, textTimeIds(options, [high, wide]));
        },
        timesteps: () => {
          const timesteps = prepareTimesteps(scheduler, options);
          // The parts in which nets steer are of all steps, as in diffusers.
          steps = timesteps.length;
          return untilDenoisingEnd(scheduler, timesteps, options.denoisingEnd);
        },
        latents: (batch, dtype) => {
          const sides = planes[0].shape.slice(2).map((side) => Math.floor(side / scaleFactor));
          return control.begin(planes, { batch, steps }, () => ({
            latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
              ...options,
              dtype,
            }),
          }));
        },
      },
      options,
    );
    return { images };
  }

  /** @param tensors that callbacks may ask for */
  protected async drawFrom(
    prompt: Prompt,
    options: XLPictureCallOptions & Read & ImageSource & { controlImage: unknown; strength: number },
    tensors: readonly string[],
  ): Drawn {
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const how = { tensors, scaled: this.scaled.bind(this) };
    const { height, width, start } = controlImg2ImgCall(this, prompt, options, how);
    checkPromptsXL(prompt, options, this.device);
    checkSizesXL(options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const prompts = (): Promise<PromptEmbeds> =>
      this.promptEmbeds(prompt, options, pictureTimeIds(options, [height, width], this.isScored));
    const { images } = await this.run(run, { prompts, ...start(run.scheduler) }, options);
    return { images };
  }

  /** @param tensors that callbacks may ask for */
  protected async drawInto(
    prompt: Prompt,
    options: XLPictureCallOptions & Read & CallOptions & WithoutNulls<InpaintSources> & { strength: number },
    tensors: readonly string[],
  ): Drawn {
    const run = this.prepareRun(options);
    const call = inpaintCall(this, prompt, options, { tensors, sizeFrom: "image" });
    checkPromptsXL(prompt, options, this.device);
    checkSizesXL(options);
    // As in diffusers, of these pipelines in this one alone.
    const control = controlCall(this, prompt, { argument: "controlImage", pooledGuess: false }, options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const { height, width, fit } = call;
    const sizes = { ...options, negativeCropsCoordsTopLeft: options.cropsCoordsTopLeft };
    let timestep: number | null = null;
    let steps: number;
    const { images } = await this.run(
      run,
      {
        prompts: () => this.promptEmbeds(prompt, options, pictureTimeIds(sizes, [height, width], this.isScored)),
        timesteps: () => {
          const { noised, timesteps, uncut } = pictureTimesteps(scheduler, options, options.strength, 1);
          [timestep, steps] = [noised, uncut];
          return timesteps;
        },
        uses: ["vae"],
        latents: async (batch, dtype) => {
          const planes = await control.planes({ height, width, fit, scaleFactor: this.vaeScaleFactor });
          return control.begin(planes, { batch, steps }, () => call.begin(scheduler, batch, dtype, timestep));
        },
      },
      options,
    );
    return { images: call.finish(images) };
  }
}
