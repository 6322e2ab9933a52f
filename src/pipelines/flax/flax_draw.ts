/** The denoising loop of FlaxStableDiffusionPipeline on one device, diffusers' `_generate`. */
import { UNetSteps } from "../../nn/unet/unet_steps.js";
import {
  disposeState,
  type FlaxDiffusionScheduler,
  type FlaxDiffusionState,
  type FlaxStepResult,
} from "../../schedulers/index.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { guide } from "../../tensor/ops/guidance.js";
import { concat } from "../../tensor/ops/shape.js";
import { foldIn, normal, type JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import { encodeIds } from "../call/encode_prompt.js";
import { FiniteCheck } from "../call/finite_check.js";
import { outputImages, type Inspected } from "../call/output_images.js";
import { Pace } from "../call/pace.js";
import type { Inspector } from "../call/safety.js";
import type { FlaxParams } from "./flax_params.js";

/** What is drawn: the pictures of one device. */
export interface FlaxShard {
  /** One row per picture. */
  promptIds: readonly (readonly number[])[];
  negPromptIds: readonly (readonly number[])[];
  key: JAXKey;
  /** Initial noise instead of that of the key, as many numbers as `shape` holds. */
  latents: Float32Array | null;
}

/** How it is drawn. */
export interface FlaxRun {
  scheduler: FlaxDiffusionScheduler;
  /** At the start of the run. */
  state: FlaxDiffusionState;
  /** What the noise is scaled by: as in diffusers what the state said before setTimesteps. */
  initNoiseSigma: number;
  steps: number;
  guidanceScale: number;
  /** Of the latents, [batch, channels, height, width]. */
  shape: readonly number[];
  partitionable: boolean;
  /** Whether the first step is recorded and replayed, which `jit: true` means. */
  jit: boolean;
  /** Whoever looks at the pictures of a device, if anybody. */
  inspectorOf: (params: FlaxParams) => Inspector | null;
  signals: readonly (AbortSignal | undefined)[];
}

/** @returns pictures [batch, height, width, 3] in [0, 1] on the device of `params`, which the caller disposes */
export async function drawShard(params: FlaxParams, shard: FlaxShard, run: FlaxRun): Promise<Inspected<Tensor>> {
  const { device, vae } = params;
  let context: Tensor | undefined;
  let latents: Tensor | undefined;
  let check: FiniteCheck | undefined;
  try {
    context = await encodeContext(params, shard);
    const noise = shard.latents ?? normal(shard.key, run.shape, { partitionable: run.partitionable });
    latents = device.scope(() => linearCombination([[run.initNoiseSigma, Tensor.from(noise, run.shape, { device })]]));
    check = new FiniteCheck(device, run.steps + 3);
    check.look(context, { module: "text_encoder" });
    check.look(latents, { module: "latents" });
    latents = await denoise(params, latents, context, check, shard.key, run);
    await device.synchronize(); // so that the decoder takes its memory after the UNet's is free
    const drawn = latents;
    const draw = (): Tensor => vae.decode(linearCombination([[1 / vae.config.scaling_factor, drawn]])).sample;
    const inspect = run.inspectorOf(params);
    const how = { check, module: "vae", signals: run.signals, inspect } as const;
    return (await outputImages(device, draw, "np", how)) as Inspected<Tensor>;
  } finally {
    check?.dispose();
    latents?.dispose();
    context?.dispose();
    device.trim();
    await device.flush();
  }
}

/** Disposes `initial`. */
async function denoise(
  { device, unet }: FlaxParams,
  initial: Tensor,
  context: Tensor,
  check: FiniteCheck,
  key: JAXKey,
  { scheduler, steps, guidanceScale, partitionable, signals, jit, ...run }: FlaxRun,
): Promise<Tensor> {
  let latents = initial;
  let { state } = run;
  const pace = new Pace(device);
  const recorded = jit ? new UNetSteps(unet, device, state.timesteps) : null;
  try {
    // As many steps as were asked for, whatever the schedule has: of FlaxPNDM's N + 1 timesteps the last is not run.
    for (const [i, t] of state.timesteps.slice(0, steps).entries()) {
      for (const signal of signals) signal?.throwIfAborted();
      const [x, before] = [latents, state];
      const after: FlaxStepResult<FlaxDiffusionState> = device.scope(() => {
        const input = scheduler.scaleModelInput(before, concat(x, x, 0), t);
        const prediction = recorded?.predict(input, t, context) ?? unet.forward(input, t, context).sample;
        const guided = guide(prediction, { scale: guidanceScale });
        check.look(guided, { module: "unet", step: i });
        return scheduler.step(before, guided, t, x, { key: foldIn(key, i), partitionable });
      });
      latents = after.prevSample;
      state = after.state;
      x.dispose();
      disposeState(before, state);
      await pace.step();
    }
    return latents;
  } catch (error) {
    latents.dispose();
    throw error;
  } finally {
    recorded?.dispose();
    disposeState(state);
  }
}

/** [2 * batch, tokens, width]: negative prompts first. */
async function encodeContext({ text_encoder }: FlaxParams, { promptIds, negPromptIds }: FlaxShard): Promise<Tensor> {
  const positive = await encodeIds(text_encoder, promptIds);
  try {
    const negative = await encodeIds(text_encoder, negPromptIds);
    const context = concat(negative, positive, 0);
    negative.dispose();
    return context;
  } finally {
    positive.dispose();
  }
}
