/** What the pipelines of latent consistency models have in common, diffusers/pipelines/latent_consistency_models. */
import { LCMScheduler } from "../../schedulers/lcm.js";
import { CALL_OPTIONS, type CallOptions } from "../call/check_inputs.js";
import type { Run } from "../call/denoise.js";
import { needComponent } from "../loading/needed_components.js";
import { StableDiffusionBase } from "../stable_diffusion/stable_diffusion_base.js";
import type { StableDiffusionOptions } from "../stable_diffusion/stable_diffusion_options.js";

/** A UNet that was distilled with guidance (Luo et al. 2023) cannot be led away from anything, and its scheduler has its own noise. */
type Absent = "negativePrompt" | "negativePromptEmbeds" | "eta" | "guidanceRescale" | "sigmas";

/** Arguments of a call; names and defaults as diffusers' LatentConsistencyModelPipeline.__call__: numInferenceSteps 4, guidanceScale 8.5. */
export interface LatentConsistencyOptions extends Omit<StableDiffusionOptions, Absent> {
  /** Steps of the model that was distilled, of which numInferenceSteps are taken. Default: what the scheduler's config says. */
  originalInferenceSteps?: number | null;
}

function optionTable(): Record<keyof LatentConsistencyOptions, boolean> {
  const {
    negativePrompt: _prompt,
    negativePromptEmbeds: _embeds,
    eta: _eta,
    guidanceRescale: _rescale,
    sigmas: _sigmas,
    ...shared
  } = CALL_OPTIONS;
  return { ...shared, originalInferenceSteps: true };
}
export const LCM_OPTIONS = optionTable();

/** The options of a call as takeOptions() gives them. */
export type LCMCallOptions = CallOptions & { originalInferenceSteps?: number };

/** What a call takes where it was not given it. */
export const LCM_DEFAULTS = { numInferenceSteps: 4, guidanceScale: 8.5 };

const SCHEDULER = { classes: [LCMScheduler], purpose: "to draw with a latent consistency model" };

export abstract class LatentConsistencyBase extends StableDiffusionBase {
  override readonly drawsDenoised = true;

  /** Never: the guidance scale is an input of the UNet. */
  override get doClassifierFreeGuidance(): boolean {
    return false;
  }

  protected override prepareRun(options: CallOptions): Run {
    const run = super.prepareRun(options);
    const { className, unet } = this;
    needComponent(className, "scheduler", run.scheduler, SCHEDULER);
    if (unet.config.time_cond_proj_dim === null)
      throw new RangeError(
        `${className}: the UNet takes no guidance scale (time_cond_proj_dim is null), as those of latent consistency models do; ` +
          "StableDiffusionPipeline.fromPipe(pipeline) draws with it",
      );
    this.expectLatentsAlone();
    return run;
  }

  /**
   * @param strength the last part of the schedule that is done
   * @throws RangeError where there are fewer steps than are to be done, or none
   */
  protected timestepsOf({ scheduler }: Run, options: LCMCallOptions, strength?: number): readonly number[] {
    const { timesteps, originalInferenceSteps, numInferenceSteps } = options;
    scheduler.setTimesteps(timesteps ? null : numInferenceSteps!, { timesteps, originalInferenceSteps, strength });
    if (scheduler.timesteps.length === 0)
      throw new RangeError(
        `After adjusting the ${timesteps!.length} \`timesteps\` by \`strength\` ${strength} no step is left; give more of one of them`,
      );
    return scheduler.timesteps;
  }
}
