/** Embeddings of pictures that go with prompts, steps 4 to 7 of diffusers/pipelines/stable_diffusion/pipeline_stable_unclip.py. */
import type { PriorTransformer } from "../../nn/unclip/prior_transformer.js";
import type { Scheduler } from "../../schedulers/index.js";
import { stepNoise } from "../../schedulers/noise.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { guide } from "../../tensor/ops/guidance.js";
import { Plan } from "../../tensor/plan.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { CallOptions } from "../call/check_inputs.js";
import { repeatedTo } from "../call/encode_image.js";
import { FiniteCheck } from "../call/finite_check.js";
import { initialNoise } from "../call/initial_noise.js";
import { Pace } from "../call/pace.js";
import { ProgressBar, type ProgressBarConfig } from "../call/progress_bar.js";
import type { PriorTexts } from "./prior_texts.js";

/** What a call has a prior draw. */
export interface PriorRun {
  device: Device;
  prior: PriorTransformer;
  scheduler: Scheduler;
  bar: ProgressBarConfig;
  texts: PriorTexts;
  /** Embeddings to draw; with guidance the texts have as many rows for each branch. */
  batch: number;
  steps: number;
  scale: number;
  /** [batch, embedding_dim] to begin with; by default noise, drawn in `dtype`. */
  latents: Tensor | undefined;
  dtype: DType;
  /** False where the pipeline was told to stop. @throws what is said of models that are gone */
  goesOn(): boolean;
}

/**
 * @returns float32 [batch, clip_embed_dim]; the caller disposes it
 * @throws NumericalError where numbers are not finite; the signal's reason
 */
export async function drawImageEmbeds(
  { device, prior, scheduler, bar: barConfig, texts, batch, steps, scale, latents, dtype, goesOn }: PriorRun,
  { generator, eta = 0, callback, callbackSteps = 1, signal }: CallOptions,
): Promise<Tensor> {
  scheduler.setTimesteps(steps);
  const { timesteps } = scheduler;
  const step = new PriorStep(device, prior, texts);
  const check = new FiniteCheck(device, timesteps.length);
  const pace = new Pace(device);
  const bar = new ProgressBar(timesteps.length, barConfig);
  const [rows] = texts.points.shape;
  let sample = device.scope(() => {
    const noise = latents ?? initialNoise(device, [batch, prior.config.embedding_dim], { generator, dtype });
    return linearCombination([[scheduler.initNoiseSigma, noise]]);
  });
  try {
    for (const [i, t] of timesteps.entries()) {
      signal?.throwIfAborted();
      if (!goesOn()) break;
      const current = sample;
      sample = device.scope(() => {
        const all = scheduler.scaleModelInput(repeatedTo(rows, current), t);
        const prediction = step.predict(all, t);
        const guided = rows > batch ? guide(prediction, { scale }) : prediction;
        check.look(guided, { module: "prior", step: i });
        return scheduler.step(guided, t, current, { eta, generator: stepNoise(prior.dtype, generator) }).prevSample;
      });
      current.dispose();
      await pace.step();
      bar.update();
      if (i % callbackSteps === 0) await callback?.(i, t, sample);
    }
    await check.expectFinite();
    return prior.postProcessLatents(sample);
  } finally {
    sample.dispose();
    bar.close();
    step.dispose();
    check.dispose();
    scheduler.reset();
  }
}

/** The prior in a loop: the first step is recorded, the others replay it. */
class PriorStep {
  readonly #seen: { tokens: Tensor; mask?: Tensor };
  #plan: Plan | null | undefined;

  constructor(
    private readonly device: Device,
    private readonly prior: PriorTransformer,
    { points, states, mask }: PriorTexts,
  ) {
    this.#seen = prior.embedTexts(points, { encoderHiddenStates: states, attentionMask: mask });
    device.keep(this.#seen.tokens);
  }

  /** @returns a tensor of the caller's scope */
  predict(sample: Tensor, timestep: number): Tensor {
    const { device, prior } = this;
    const { tokens, mask } = this.#seen;
    const time = prior.time_proj.forward(new Array<number>(sample.shape[0]).fill(timestep), device);
    const inputs = [sample, time, tokens, mask!];
    const work = (...[x, projected, texts, marks]: Tensor[]): Tensor =>
      prior.predict(x, projected, { tokens: texts, mask: marks });
    if (this.#plan === undefined) this.#plan = Plan.attempt(device, inputs, work, { label: "prior step" });
    return this.#plan?.run(inputs, { copy: true }) ?? work(...inputs);
  }

  dispose(): void {
    this.#plan?.dispose();
    this.#seen.tokens.dispose();
  }
}
