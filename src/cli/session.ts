/** What drawing commands share: the model, its device, and letting go of both so that the process exits by itself. */
import { shown } from "../arguments/shown.js";
import {
  EMBEDDED_MODEL,
  openRepository,
  requestDevice,
  schedulerClass,
  schedulerNames,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  type Device,
  type SchedulerClass,
} from "../index.js";
import { readJSON } from "../loader/config.js";
import { releaseNodeGPU } from "../tensor/gpu_node.js";
import { UsageError } from "./errors.js";

/** Guidance of the package's model, which was trained on few pictures, and diffusers' default for all others. */
export const defaultGuidance = (model: string | undefined): number => (model === undefined ? 3 : 7.5);

/** Runs `work` on a device of its own. */
export async function withDevice<T>(work: (device: Device) => Promise<T>): Promise<T> {
  let device: Device | undefined;
  try {
    device = await requestDevice();
    return await work(device);
  } finally {
    device?.destroy();
    await device?.lost;
    releaseNodeGPU();
  }
}

interface ModelOptions {
  model: string | undefined;
  dtype: "float32" | "float16";
  signal: AbortSignal;
}

/** Loads a model, by default the package's, and runs `work` with it. */
export async function withPipeline<T>(
  { model = EMBEDDED_MODEL, dtype, signal }: ModelOptions,
  work: (pipeline: StableDiffusionPipeline) => Promise<T>,
): Promise<T> {
  const repository = await openRepository(model, { signal }); // a wrong folder needs no GPU to be told
  const { _class_name: className } = await readJSON(repository, "model_index.json");
  const drawn = [StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline];
  if (!drawn.some((Class) => Class.className === className))
    throw new Error(
      `${repository.name}: model_index.json says _class_name = ${shown(className)}; the command line draws ` +
        `prompts, with models of a ${StableDiffusionPipeline.className}`,
    );
  return withDevice(async (device) => {
    const options = { device, dtype, signal };
    return work(await StableDiffusionPipeline.fromPretrained(repository, options));
  });
}

/** "DDIMScheduler", or "DDIM" for short. */
export function findScheduler(name: string): SchedulerClass {
  const full = `${name}Scheduler`;
  try {
    return schedulerClass(schedulerNames().includes(full) ? full : name);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}
