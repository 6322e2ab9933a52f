/** Running the Flax goldens of fixtures/models/gold/flax: diffusers 0.30.3's FlaxStableDiffusionPipeline on jax 0.4.31. */
import {
  FlaxStableDiffusionPipeline,
  Tensor,
  findFlaxScheduler,
  type FlaxDiffusionScheduler,
  type FlaxDiffusionState,
  type FlaxParams,
  type FlaxPipelineOptions,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import type { Golden } from "./goldens.js";

export const FLAX_REPO = fixturePath("models/repos/flax-sd15");

/** One entry of gold/flax/index.json, cut from fixtures/models/manifest.json. */
export interface FlaxRunGolden {
  id: string;
  file: string;
  prompt: string;
  negative_prompt?: string;
  steps: number;
  guidance_scale: number;
  dtype: "fp32" | "bf16";
  scheduler: string;
  timesteps_run?: number[];
  state_timesteps?: number[];
}

export const flaxRuns = async (): Promise<FlaxRunGolden[]> => readFixtureJSON("models/gold/flax/index.json");

/** A pipeline with a scheduler of its own, as the guide loads it. */
export async function loadFlax(
  scheduler: string,
  options: Omit<FlaxPipelineOptions, "scheduler"> = {},
): Promise<[FlaxStableDiffusionPipeline, FlaxParams]> {
  const Class = findFlaxScheduler(scheduler);
  if (!Class) throw new Error(`no class ${scheduler}`);
  const [made, state] = await Class.fromPretrained(FLAX_REPO, { subfolder: "scheduler" });
  const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, {
    scheduler: made as FlaxDiffusionScheduler,
    variant: "bf16",
    ...options,
  });
  params.scheduler = state as FlaxDiffusionState;
  return [pipeline, params];
}

/** Keeps what each step gives, by the device's order of steps, until `stop` is called. */
export function recordSteps(scheduler: FlaxDiffusionScheduler): { latents: Tensor[]; times: number[] } {
  const original = scheduler.step.bind(scheduler);
  const record = { latents: [] as Tensor[], times: [] as number[] };
  const step: typeof scheduler.step = (state, output, t, sample, options) => {
    const result = original(state, output, t, sample, options);
    record.times.push(t);
    record.latents.push(result.prevSample.device.keep(result.prevSample.reshape(result.prevSample.shape)));
    return result;
  };
  Object.defineProperty(scheduler, "step", { value: step, configurable: true });
  return record;
}

export const idTensor = (golden: Golden): Tensor => Tensor.from(Int32Array.from(golden.data), golden.shape);
