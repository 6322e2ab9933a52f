/** The denoising loop, steps 6 to 8 of diffusers' Stable Diffusion pipelines. */
import { UNetSteps } from "../../nn/unet/unet_steps.js";
import type { Scheduler } from "../../schedulers/index.js";
import { stepNoise } from "../../schedulers/noise.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Beside, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { PromptPipeline } from "../stable_diffusion/stable_diffusion_options.js";
import { pick, replace, takeReturned } from "./callback_tensors.js";
import { callbackTensorInputs, type CallOptions } from "./check_inputs.js";
import { repeatedTo } from "./encode_image.js";
import type { PromptEmbeds } from "./encode_prompt.js";
import type { FiniteCheck } from "./finite_check.js";
import { inBatch, promptRows, type Branches } from "./guidance.js";
import { callLegacyCallback } from "./legacy_callback.js";
import { Pace } from "./pace.js";
import { guidanceEmbedding } from "./prepare.js";
import { ProgressBar, type ProgressBarConfig } from "./progress_bar.js";

/** What a call took from the pipeline when it was made: whoever assigns others meanwhile means later calls. */
export interface Run {
  scheduler: Scheduler;
  bar: ProgressBarConfig;
}

/**
 * @param initial latents [batch, channels, height, width] as the first timestep wants them; disposed
 * @param embeds replaced by those of both prompts in one batch, and by what a callback returns
 * @param expectModels throws where the pipeline's models cannot be used any more
 * @returns latents of the same shape
 */
export async function denoise(
  pipeline: LatentDiffusion,
  { scheduler, bar: barConfig }: Run,
  {
    initial,
    beside: { channels, controls, features, classLabels, preconditioning },
    imageTokens,
    embeds,
    timesteps,
    check,
    expectModels,
  }: {
    initial: Tensor;
    beside: Beside;
    /** Tokens for each IP-Adapter, with guidance rows for all branches. */
    imageTokens: readonly Tensor[];
    embeds: PromptEmbeds;
    timesteps: readonly number[];
    check: FiniteCheck;
    expectModels: () => void;
  },
  options: CallOptions,
): Promise<Tensor> {
  const { device, unet, guidance } = pipeline;
  const { branches } = guidance;
  const { eta = 0, signal, callbackOnStepEnd } = options;
  const generator = stepNoise(unet.dtype, options.generator);
  let latents = initial;
  // For classifier free guidance all branches go through in one batch
  const { positive, negative } = embeds;
  if (negative) embeds.positive = replace(positive, inBatch(branches, { positive, negative }));
  let denoised: Tensor | undefined;
  let guidanceCond = pipeline.readsGuidance ? guidanceEmbedding(unet, latents, pipeline.guidanceScale) : undefined;
  const bar = new ProgressBar(Math.ceil(timesteps.length / scheduler.order), barConfig);
  const pace = new Pace(device);
  const seen = preconditioning?.timesteps ?? timesteps;
  const steps = new UNetSteps(unet, device, seen);
  try {
    const first = controls?.ofStep(0, latents.shape[0], pipeline.doClassifierFreeGuidance);
    await steps.begin(seen[0], guidanceCond, first);
    for (const [i, t] of timesteps.entries()) {
      signal?.throwIfAborted();
      expectModels();
      if (pipeline.interrupt) break;
      const current = latents;
      const guided = pipeline.doClassifierFreeGuidance;
      const steering = controls?.ofStep(i, current.shape[0], guided);
      const rows = (guided ? branches.length : 1) * current.shape[0];
      const inside = features?.ofStep(i, rows);
      const made = device.scope(() => {
        // expand the latents if we are doing classifier free guidance
        const all = repeatedTo(rows, current);
        const scaled = scheduler.scaleModelInput(all, t);
        const input = channels?.input(scaled) ?? scaled;
        // predict the noise residual
        const labels = classLabels instanceof Tensor ? promptRows(branches, classLabels, input.shape[0]) : classLabels;
        const timestepCond = guidanceCond ?? embeds.timestepCond;
        const told = { timestepCond, classLabels: labels, addedCondKwargs: embeds.added };
        // Where a callback has ended the guidance, what it led away from is not looked at any more.
        const images = imageTokens.map((x) =>
          x.shape[0] === input.shape[0] ? x : keptRows(branches, x, input.shape[0]),
        );
        const beside = { controls: steering, images, features: inside };
        const output = steps.predict(input, seen[i], embeds.positive, told, beside);
        const prediction = preconditioning?.denoised(output, all, i, t) ?? output;
        // perform guidance
        const noise = guided ? guidance.combine(prediction, pipeline) : prediction;
        check.look(noise, { module: "unet", step: i });
        // compute the previous noisy sample x_t -> x_t-1
        const result = scheduler.step(noise, t, current, { eta, generator });
        return {
          latents: channels?.keep?.(result.prevSample, timesteps[i + 1]) ?? result.prevSample,
          denoised: pipeline.drawsDenoised ? result.denoised : undefined,
        };
      });
      current.dispose();
      denoised?.dispose();
      ({ latents, denoised } = made);
      await pace.step();

      if (callbackOnStepEnd) {
        const given = {
          latents,
          denoised,
          w_embedding: guidanceCond,
          prompt_embeds: embeds.positive,
          negative_prompt_embeds: embeds.negative,
          add_text_embeds: embeds.added?.textEmbeds,
          add_time_ids: embeds.added?.timeIds,
          ...channels?.callbackTensors,
          ...controls?.callbackTensors,
        };
        const wanted = pick(given, callbackTensorInputs(options));
        const replaced = takeReturned(await callbackOnStepEnd(pipeline as PromptPipeline, i, t, wanted), latents);
        pipeline.expectFiniteScales();
        latents = replace(latents, replaced.latents);
        if (denoised) {
          denoised = replace(denoised, replaced.denoised);
          guidanceCond = guidanceCond && replace(guidanceCond, replaced.w_embedding);
        }
        embeds.positive = replace(embeds.positive, replaced.prompt_embeds);
        if (embeds.negative) embeds.negative = replace(embeds.negative, replaced.negative_prompt_embeds);
        if (embeds.added) {
          embeds.added.textEmbeds = replace(embeds.added.textEmbeds, replaced.add_text_embeds);
          embeds.added.timeIds = replace(embeds.added.timeIds, replaced.add_time_ids);
        }
        channels?.replace(replaced);
        controls?.replace(replaced);
      }
      if ((i + 1) % scheduler.order === 0 || i === timesteps.length - 1) bar.update();
      const always = pipeline.callsBackEachTime;
      await callLegacyCallback(options, i, { timesteps, order: scheduler.order, latents, always });
    }
    if (!denoised) return latents;
    latents.dispose();
    return denoised;
  } catch (error) {
    latents.dispose();
    denoised?.dispose();
    throw error;
  } finally {
    bar.close();
    steps.dispose();
    guidanceCond?.dispose();
  }
}

/** Kept with x, as the keys and values that are made of them are kept with these. */
const keptRows = (branches: Branches, x: Tensor, rows: number): Tensor =>
  x.memo(keptRows, () => [promptRows(branches, x, rows)])[0];
