/** What a call makes before its loop: the schedule, the first latents, the guidance as distilled models take it. */
import { guidanceScaleEmbedding } from "../../nn/embeddings.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { Tensor } from "../../tensor/tensor.js";
import type { CallOptions } from "./check_inputs.js";
import { checkGenerators, expectShape, initialNoise } from "./initial_noise.js";

export function prepareTimesteps(
  scheduler: Scheduler,
  { numInferenceSteps = 50, timesteps, sigmas }: CallOptions,
): readonly number[] {
  if (timesteps) scheduler.setTimesteps(null, { timesteps });
  else if (sigmas) scheduler.setTimesteps(null, { sigmas });
  else scheduler.setTimesteps(numInferenceSteps);
  return scheduler.timesteps;
}

/** Tells a scheduler that counts its steps with which one it begins. */
export function beginAt(scheduler: Scheduler, index: number): void {
  if ("setBeginIndex" in scheduler) (scheduler.setBeginIndex as (index: number) => void)(index);
}

/**
 * The latents given, or noise, times what the scheduler begins with.
 * @param dtype in which noise is drawn
 * @throws RangeError for latents of another shape, or as many generators as there are no pictures
 */
export function prepareLatents(
  device: Device,
  shape: readonly number[],
  initNoiseSigma: number,
  { generator, latents, dtype }: CallOptions & { dtype: DType },
): Tensor {
  if (latents) expectShape(latents, shape);
  checkGenerators(generator, shape[0]);
  return device.scope(() =>
    linearCombination([[initNoiseSigma, latents ?? initialNoise(device, shape, { generator, dtype })]]),
  );
}

/** The guidance scale as distilled models (LCM) take it, [batch, time_cond_proj_dim]. */
export function guidanceEmbedding(
  { config }: UNet2DConditionModel,
  { shape: [batch], device }: Tensor,
  guidanceScale: number,
): Tensor {
  const dim = config.time_cond_proj_dim!;
  const values = guidanceScaleEmbedding(new Array<number>(batch).fill(guidanceScale - 1), dim);
  return Tensor.from(values, [batch, dim], { device });
}
