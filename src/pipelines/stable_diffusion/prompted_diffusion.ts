/** The prompts of a pipeline with one text encoder, as Stable Diffusion reads them. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkPrompts, ENCODE_PROMPT_OPTIONS, type CallOptions } from "../call/check_inputs.js";
import type { Run } from "../call/denoise.js";
import { encodePrompt, type PromptEmbeds } from "../call/encode_prompt.js";
import type { RawImage } from "../images/raw_image.js";
import type { Start } from "./latent_diffusion.js";
import { OneEncoderDiffusion } from "./one_encoder_diffusion.js";
import type { EncodePromptOptions, Prompt, StableDiffusionOutput } from "./stable_diffusion_options.js";

export abstract class PromptedDiffusion extends OneEncoderDiffusion {
  /** As run(), with the prompts of these models. */
  protected runPrompts(
    prompt: Prompt,
    run: Run,
    start: Omit<Start, "prompts">,
    options: CallOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const prompts = (): Promise<PromptEmbeds> =>
      this.#encode(prompt, { ...options, guided: this.doClassifierFreeGuidance });
    return this.run(run, { ...start, prompts }, options);
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
