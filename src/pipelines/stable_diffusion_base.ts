/** The components and prompts of Stable Diffusion 1.x and 2.x, whatever a call begins with. */
import type { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { CLIPTextModel } from "../nn/clip_text_model.js";
import type { StableDiffusionSafetyChecker } from "../nn/safety_checker.js";
import type { CLIPVisionModelWithProjection } from "../nn/clip_vision_model.js";
import { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import type { Scheduler } from "../schedulers/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { takeOptions } from "./call_options.js";
import { checkPrompts, ENCODE_PROMPT_OPTIONS, type CallOptions } from "./check_inputs.js";
import type { CLIPImageProcessor } from "./clip_image_processor.js";
import type { Run } from "./denoise.js";
import { encodePrompt, type PromptEmbeds } from "./encode_prompt.js";
import { LatentDiffusion, type Start } from "./latent_diffusion.js";
import type { RawImage } from "./raw_image.js";
import { checkSafety, inspector } from "./safety.js";
import { patchLegacyConfigs, type PatchedKey } from "./stable_diffusion_config.js";
import type {
  EncodePromptOptions,
  Prompt,
  StableDiffusionComponents,
  StableDiffusionOutput,
} from "./stable_diffusion_options.js";

export abstract class StableDiffusionBase extends LatentDiffusion {
  static override readonly componentNames = [
    "vae",
    "text_encoder",
    "tokenizer",
    "unet",
    "scheduler",
    "safety_checker",
    "feature_extractor",
    "image_encoder",
  ];
  static override readonly optionalNames = ["safety_checker", "feature_extractor", "image_encoder"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
  };
  static override readonly initArguments = { requires_safety_checker: true };
  /**
   * What diffusers' constructor sets right in a scheduler's config of 2022, beside steps_offset and the UNet's sample_size; null of
   * classes that take configs as they are.
   */
  protected static readonly patchedKey: PatchedKey | null = null;
  text_encoder: CLIPTextModel;
  tokenizer: CLIPTokenizer;
  override unet: UNet2DConditionModel;
  scheduler: Scheduler;
  /** Looks at each picture that is drawn, and has some be black; null for none. */
  safety_checker: StableDiffusionSafetyChecker | null;
  /** Makes pictures as the safety checker takes them. */
  feature_extractor: CLIPImageProcessor | null;
  /** For pictures as prompts, see loadIpAdapter(). */
  image_encoder: CLIPVisionModelWithProjection | null;

  constructor(components: StableDiffusionComponents) {
    super();
    this.expectComponents(components);
    checkSafety(this.className, components);
    this.vae = components.vae as AutoencoderKL;
    this.text_encoder = components.text_encoder as CLIPTextModel;
    this.tokenizer = components.tokenizer as CLIPTokenizer;
    this.unet = components.unet as UNet2DConditionModel;
    this.scheduler = components.scheduler as Scheduler;
    this.safety_checker = components.safety_checker ?? null;
    this.feature_extractor = components.feature_extractor ?? null;
    this.image_encoder = components.image_encoder ?? null;
    const { requires_safety_checker = true } = components;
    this.remember({ requires_safety_checker });
    const { patchedKey } = this.constructor as typeof StableDiffusionBase;
    if (patchedKey) patchLegacyConfigs(components, patchedKey);
  }

  override get components(): StableDiffusionComponents {
    return super.components as StableDiffusionComponents;
  }

  protected override prepareRun(options: CallOptions): Run {
    const run = super.prepareRun(options);
    // A checker that cannot be used is refused before anything is drawn.
    if (options.outputType !== "latent") this.inspector();
    return run;
  }

  protected override inspector(): ReturnType<typeof inspector> {
    const made = inspector(this.className, this);
    return made && ((dtype) => (pictures) => this.withModels(["safety_checker"], () => made(dtype)(pictures)));
  }

  /** As run(), with the prompts of these models. */
  protected runPrompts(
    prompt: Prompt,
    run: Run,
    start: Omit<Start, "prompts">,
    options: CallOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const prompts = (): Promise<PromptEmbeds> =>
      this.#encode(prompt, { ...options, guided: this.doClassifierFreeGuidance });
    return this.run(prompt, run, { ...start, prompts }, options);
  }

  /**
   * What texts are for the UNet: the promptEmbeds and negativePromptEmbeds of a call, to be mixed, weighted or kept.
   * @returns both [batch * numImagesPerPrompt, tokens, width], the second null without guidance. The caller disposes them.
   * @throws RangeError, TypeError for wrong arguments
   * @example
   * const [promptEmbeds, negativePromptEmbeds] = await pipeline.encodePrompt("a red circle");
   */
  async encodePrompt(
    prompt: Prompt,
    given?: EncodePromptOptions | null,
  ): Promise<[promptEmbeds: Tensor, negativePromptEmbeds: Tensor | null]> {
    const options = takeOptions(`${this.className}.encodePrompt`, given, ENCODE_PROMPT_OPTIONS, "refuse");
    this.expectModels();
    const { device } = this;
    checkPrompts(prompt, options, device);
    const { doClassifierFreeGuidance: guided = true } = options;
    const { positive, negative } = await this.#encode(prompt, { ...options, guided });
    await device.flush();
    return [positive, negative];
  }

  #encode(prompt: Prompt, options: CallOptions & { guided: boolean }): Promise<PromptEmbeds> {
    return this.withModels(["text_encoder"], () => encodePrompt(this, prompt, options));
  }
}
