/** Pictures edited by instructions, diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_instruct_pix2pix.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_EDIT_TENSORS } from "../call/callback_tensors.js";
import { checkCount, checkPrompts } from "../call/check_inputs.js";
import { EDIT_GUIDANCE } from "../call/guidance.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareTimesteps } from "../call/prepare.js";
import { cutSide } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, checkSizesXL, type XLCallOptions } from "../stable_diffusion_xl/check_inputs_xl.js";
import { StableDiffusionXLBase, XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type {
  StableDiffusionXLComponents,
  StableDiffusionXLOutput,
  XLInstructPix2PixOptions,
} from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { editTimeIds } from "../stable_diffusion_xl/time_ids_xl.js";
import { untilDenoisingEnd } from "../stable_diffusion_xl/timesteps_xl.js";
import { beginEdit, checkEdit, EDIT_SOURCES, type EditCallOptions } from "./edit_call.js";

function optionTable(): OptionTable<Required<XLInstructPix2PixOptions>> {
  const {
    negativeOriginalSize: _original,
    negativeCropsCoordsTopLeft: _crops,
    negativeTargetSize: _target,
    clipSkip: _skip,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ipAdapterImage: _image,
    ipAdapterImageEmbeds: _embeds,
    ...shared
  } = XL_OPTIONS;
  return { ...EDIT_SOURCES, ...shared };
}
const EDIT_OPTIONS = optionTable();

const VAE = { classes: [AutoencoderKL, AutoencoderTiny], purpose: "to scale the picture's latents, as CosXL's are" };

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLInstructPix2PixPipeline {
  (
    prompt: Prompt,
    options: XLInstructPix2PixOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLInstructPix2PixOptions): Promise<StableDiffusionXLOutput>;
}

/** InstructPix2Pix with Stable Diffusion XL, CosXL Edit included; with a UNet that was trained for it (8 input channels). */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLInstructPix2PixPipeline extends StableDiffusionXLBase {
  static override readonly className = "StableDiffusionXLInstructPix2PixPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image"];
  static override readonly optionalNames = ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"];
  static override readonly componentNames = [
    "vae",
    ...StableDiffusionXLInstructPix2PixPipeline.optionalNames,
    "unet",
    "scheduler",
  ];
  /** Of is_cosxl_edit a file says something only where it is true: diffusers reads it, but does not write it at all. */
  static override readonly initArguments = { ...StableDiffusionXLBase.initArguments, is_cosxl_edit: undefined };
  override readonly guidance = EDIT_GUIDANCE;
  /** Of the call that runs; a callback may change it, and below 1 it ends the guidance. */
  imageGuidanceScale = 1.5;
  readonly #isCosXL: boolean;

  constructor(components: StableDiffusionXLComponents) {
    super(components);
    this.#isCosXL = components.is_cosxl_edit === true;
    if (this.#isCosXL) this.remember({ is_cosxl_edit: true });
  }

  /**
   * Edits pictures as the prompt says. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline("turn the sky into a cloudy one", { image, height: 768, width: 768 });
   */
  override async call(
    prompt: Prompt = null,
    given?: XLInstructPix2PixOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, EDIT_OPTIONS, "warn");
    const options: XLCallOptions & EditCallOptions = { numInferenceSteps: 100, guidanceScale: 5, ...taken };
    const run = this.prepareRun(options);
    checkEdit(this, options);
    const { device, vaeScaleFactor } = this;
    const { height, width } = this.drawnSize(options);
    for (const [name, side] of Object.entries({ height, width })) checkCount(name, side);
    checkPrompts(prompt, options, device, XL_EDIT_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    if (this.#isCosXL) needComponent(this.className, "vae", this.vae, VAE);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const size = [width, height].map((side) => cutSide(side, vaeScaleFactor)) as [number, number];
    const { images } = await this.run(
      run,
      {
        prompts: () => this.promptEmbeds(prompt, options, editTimeIds(options, [height, width])),
        timesteps: () => untilDenoisingEnd(scheduler, prepareTimesteps(scheduler, options), options.denoisingEnd),
        uses: ["vae"],
        latents: (batch, dtype) => {
          const factor = this.#isCosXL ? this.vae.config.scaling_factor : 1;
          return beginEdit(this, options, { scheduler, batch, dtype, size, factor });
        },
      },
      options,
    );
    return { images };
  }

  /** This class has none, neither has diffusers'. @throws TypeError always */
  override loadIpAdapter(): Promise<void> {
    return Promise.reject(new TypeError(`${this.className}: takes no pictures as prompts (IP-Adapters)`));
  }
}
