/** What drawing commands share: the model, its device, and letting go of both so that the process exits by itself. */
import { shown } from "../arguments/shown.js";
import {
  EMBEDDED_MODEL,
  LatentConsistencyModelImg2ImgPipeline,
  LatentConsistencyModelPipeline,
  openRepository,
  requestDevice,
  schedulerClass,
  schedulerNames,
  StableDiffusionAdapterPipeline,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionDepth2ImgPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionInstructPix2PixPipeline,
  StableDiffusionPipeline,
  StableDiffusionUpscalePipeline,
  StableDiffusionXLAdapterPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
  StableDiffusionXLControlNetPipeline,
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
  StableDiffusionXLControlNetUnionPipeline,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLPipeline,
  StableUnCLIPPipeline,
  type AutoOutput,
  type Device,
  type SchedulerClass,
  type StableDiffusionOptions,
} from "../index.js";
import { readJSON } from "../loader/config.js";
import { LCM_DEFAULTS } from "../pipelines/latent_consistency/latent_consistency_base.js";
import { UPSCALE_DEFAULTS } from "../pipelines/upscale/upscale_options.js";
import { releaseNodeGPU } from "../tensor/gpu_node.js";
import { ENCODED, encodedSteps, isEncoded, type EncodedClass, type EncodedPipeline } from "./encoded_pictures.js";
import { UsageError } from "./errors.js";

/** Guidance of the package's model, which was trained on few pictures; for all others the pipeline's default. */
export const defaultGuidance = (model: string | undefined): number | undefined => (model === undefined ? 3 : undefined);

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

/** What draws prompts. */
export type TextPipeline = (StableDiffusionPipeline | StableDiffusionXLPipeline | LatentConsistencyModelPipeline) &
  ((prompt: string, options: StableDiffusionOptions) => Promise<AutoOutput>);

/** Steps where none are asked for. */
export function defaultSteps(pipeline: TextPipeline | PicturePipeline): number {
  if (isEncoded(pipeline)) return encodedSteps(pipeline);
  if (pipeline instanceof LatentConsistencyModelPipeline) return LCM_DEFAULTS.numInferenceSteps;
  return isUpscaler(pipeline) ? UPSCALE_DEFAULTS.numInferenceSteps : 50;
}

/** The class that draws prompts with the models of each class of model_index.json. */
const DRAWN = new Map<
  unknown,
  typeof StableDiffusionPipeline | typeof StableDiffusionXLPipeline | typeof LatentConsistencyModelPipeline
>([
  [StableDiffusionPipeline.className, StableDiffusionPipeline],
  [StableDiffusionImg2ImgPipeline.className, StableDiffusionPipeline],
  [StableDiffusionInpaintPipeline.className, StableDiffusionPipeline],
  [StableDiffusionInstructPix2PixPipeline.className, StableDiffusionPipeline],
  [StableDiffusionControlNetPipeline.className, StableDiffusionPipeline],
  [StableDiffusionControlNetImg2ImgPipeline.className, StableDiffusionPipeline],
  [StableDiffusionControlNetInpaintPipeline.className, StableDiffusionPipeline],
  [StableDiffusionAdapterPipeline.className, StableDiffusionPipeline],
  [LatentConsistencyModelPipeline.className, LatentConsistencyModelPipeline],
  [LatentConsistencyModelImg2ImgPipeline.className, LatentConsistencyModelPipeline],
  [StableDiffusionXLControlNetPipeline.className, StableDiffusionXLPipeline],
  [StableDiffusionXLAdapterPipeline.className, StableDiffusionXLPipeline],
  [StableDiffusionXLControlNetUnionPipeline.className, StableDiffusionXLPipeline],
  [StableDiffusionXLPipeline.className, StableDiffusionXLPipeline],
]);
/** Those whose files say more than that class takes; made into it, it keeps that for the pipelines from pictures. */
const FROM_PICTURES = [
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLControlNetImg2ImgPipeline,
  StableDiffusionXLControlNetInpaintPipeline,
  StableDiffusionXLControlNetUnionImg2ImgPipeline,
  StableDiffusionXLControlNetUnionInpaintPipeline,
];

/** What makes pictures larger. */
export type Upscaler = StableDiffusionUpscalePipeline | StableDiffusionLatentUpscalePipeline;
const UPSCALERS = [StableDiffusionUpscalePipeline, StableDiffusionLatentUpscalePipeline];
const OF_PICTURES = new Map<unknown, PictureClass>(
  [...UPSCALERS, StableDiffusionDepth2ImgPipeline, ...ENCODED.values()].map((Class) => [Class.className, Class]),
);
type PictureClass = (typeof UPSCALERS)[number] | typeof StableDiffusionDepth2ImgPipeline | EncodedClass;

/** What draws pictures of given ones, or of what a prior guesses of them; nothing of a prompt as others do. */
export type PicturePipeline = Upscaler | StableDiffusionDepth2ImgPipeline | EncodedPipeline;

const isUpscaler = (pipeline: TextPipeline | PicturePipeline): pipeline is Upscaler =>
  UPSCALERS.some((Class) => pipeline instanceof Class);

interface ModelOptions {
  model: string | undefined;
  dtype: "float32" | "float16";
  /** Weights wait on the CPU until they are needed. */
  offload?: boolean;
  /** false leaves the safety checker out. */
  checksSafety?: boolean;
  /** Throws where the command does not go with models of this class of model_index.json. */
  expectClass?: (className: string) => void;
  signal: AbortSignal;
}

/** Loads a model, by default the package's, and runs `work` with it, or `redraw` with one that draws by pictures otherwise. */
export async function withPipeline<T>(
  { model = EMBEDDED_MODEL, dtype, offload, checksSafety = true, expectClass, signal }: ModelOptions,
  work: (pipeline: TextPipeline) => Promise<T>,
  redraw?: (pipeline: PicturePipeline) => Promise<T>,
): Promise<T> {
  const repository = await openRepository(model, { signal }); // a wrong folder needs no GPU to be told
  const { _class_name: className } = await readJSON(repository, "model_index.json");
  const Class = DRAWN.get(className);
  const FromPictures = FROM_PICTURES.find((each) => each.className === className);
  const Redraws = OF_PICTURES.get(className);
  if (Redraws && !redraw) {
    const how = Redraws === StableUnCLIPPipeline ? "generate" : "generate --image FILE";
    throw new Error(`${repository.name}: with models of a ${Redraws.className} only ${how} draws`);
  }
  if (!Class && !FromPictures && !Redraws)
    throw new Error(
      `${repository.name}: model_index.json says _class_name = ${shown(className)}; the command line draws ` +
        `prompts, with models of a ${StableDiffusionPipeline.className} or a ${StableDiffusionXLPipeline.className}`,
    );
  expectClass?.(className as string);
  return withDevice(async (device) => {
    const without = checksSafety ? {} : { safety_checker: null };
    const options = { device, dtype, enableModelCpuOffload: offload, signal, ...without };
    if (Redraws) return redraw!((await Redraws.fromPretrained(repository, options)) as PicturePipeline);
    if (Class) return work(await Class.fromPretrained(repository, options));
    // A ControlNet in the files would take memory and draw nothing.
    const parts = FromPictures!.componentNames.includes("controlnet") ? { controlnet: null } : {};
    const loaded = await FromPictures!.fromPretrained(repository, { ...options, ...parts });
    return work(StableDiffusionXLPipeline.fromPipe(loaded));
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
