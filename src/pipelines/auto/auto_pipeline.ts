/** The class of a pipeline by what it is for, diffusers/pipelines/auto_pipeline.py. */
import { whileReporting } from "../../arguments/progress.js";
import { shown } from "../../arguments/shown.js";
import { givenOptions, inOwnSpelling } from "../../arguments/spelling.js";
import { ConfigError } from "../../loader/errors.js";
import type { RepositorySource } from "../../loader/repository.js";
import type { DiffusionPipeline } from "../diffusion_pipeline.js";
import { expectPipeline, fromPipe } from "../loading/from_pipe.js";
import {
  loadPipeline,
  PIPELINE_OPTION_NAMES,
  type Components,
  type PipelineOptions,
} from "../loading/load_pipeline.js";
import { autoClass, autoNames, steeringBy, type AUTO_CLASSES, type AutoTask, type Steering } from "./auto_classes.js";
import type { AutoOptions, Image2ImageCall, InpaintingCall, Text2ImageCall } from "./auto_pipeline_options.js";

type Classes<T extends AutoTask> = (typeof AUTO_CLASSES)[T];
type Instance<Class> = Class extends abstract new (...args: never[]) => infer P ? P : never;
type Drawn<T extends AutoTask> = { [Kind in keyof Classes<T>]: Instance<Classes<T>[Kind]> }[keyof Classes<T>];

/** Any pipeline from texts; `instanceof` tells which. It is called as the one that it is. */
export type Text2ImagePipeline = Drawn<"Text2Image"> & Text2ImageCall;
/** Any pipeline from pictures. */
export type Image2ImagePipeline = Drawn<"Image2Image"> & Image2ImageCall;
/** Any pipeline from pictures with masks. */
export type InpaintingPipeline = Drawn<"Inpainting"> & InpaintingCall;

abstract class AutoPipeline {
  protected static readonly task: AutoTask;

  /** @throws Error always, as in diffusers */
  constructor() {
    const name = nameOf((new.target as typeof AutoPipeline).task);
    throw new Error(
      `${name} is designed to be instantiated using the \`${name}.fromPretrained(source)\` or \`${name}.fromPipe(pipeline)\` methods.`,
    );
  }
}

/**
 * Text to picture with whatever models a repository has: StableDiffusionPipeline, StableDiffusionXLPipeline, …, and those with ControlNets
 * where `controlnet` is given.
 * @example
 * const pipeline = await AutoPipelineForText2Image.fromPretrained("owner/name", { dtype: "float16" });
 * const { images } = await pipeline("a red circle");
 */
export abstract class AutoPipelineForText2Image extends AutoPipeline {
  protected static override readonly task = "Text2Image";

  /**
   * As DiffusionPipeline.fromPretrained(), with the class that draws texts with the models of the class in the file.
   * @throws ConfigError naming the classes that there are; what their fromPretrained() throws
   */
  static fromPretrained<P extends Drawn<"Text2Image"> = Text2ImagePipeline>(
    source: RepositorySource,
    options?: (PipelineOptions & AutoOptions & Components) | null,
  ): Promise<P> {
    return load("Text2Image", source, options) as Promise<P>;
  }

  /**
   * A pipeline that shares the components of another one, as fromPipe() of its class.
   * @param options components and constructor arguments to take instead; a `controlnet` has it steered, null no longer
   * @throws TypeError naming the classes that there are
   */
  static fromPipe<P extends Drawn<"Text2Image"> = Text2ImagePipeline>(
    pipeline: DiffusionPipeline,
    options?: (AutoOptions & Components) | null,
  ): P {
    return convert("Text2Image", pipeline, options) as P;
  }
}

/**
 * As AutoPipelineForText2Image, for pictures to begin with.
 * @example
 * const pipeline = AutoPipelineForImage2Image.fromPipe(textPipeline); // shares the models
 * const { images } = await pipeline("a red star", { image, strength: 0.6 });
 */
export abstract class AutoPipelineForImage2Image extends AutoPipeline {
  protected static override readonly task = "Image2Image";

  /** See AutoPipelineForText2Image.fromPretrained(). */
  static fromPretrained<P extends Drawn<"Image2Image"> = Image2ImagePipeline>(
    source: RepositorySource,
    options?: (PipelineOptions & AutoOptions & Components) | null,
  ): Promise<P> {
    return load("Image2Image", source, options) as Promise<P>;
  }

  /** See AutoPipelineForText2Image.fromPipe(). */
  static fromPipe<P extends Drawn<"Image2Image"> = Image2ImagePipeline>(
    pipeline: DiffusionPipeline,
    options?: (AutoOptions & Components) | null,
  ): P {
    return convert("Image2Image", pipeline, options) as P;
  }
}

/**
 * As AutoPipelineForText2Image, for pictures of which a part is drawn anew.
 * @example
 * const pipeline = await AutoPipelineForInpainting.fromPretrained("owner/name");
 * const { images } = await pipeline("a red star", { image, maskImage });
 */
export abstract class AutoPipelineForInpainting extends AutoPipeline {
  protected static override readonly task = "Inpainting";

  /** See AutoPipelineForText2Image.fromPretrained(). */
  static fromPretrained<P extends Drawn<"Inpainting"> = InpaintingPipeline>(
    source: RepositorySource,
    options?: (PipelineOptions & AutoOptions & Components) | null,
  ): Promise<P> {
    return load("Inpainting", source, options) as Promise<P>;
  }

  /** See AutoPipelineForText2Image.fromPipe(). */
  static fromPipe<P extends Drawn<"Inpainting"> = InpaintingPipeline>(
    pipeline: DiffusionPipeline,
    options?: (AutoOptions & Components) | null,
  ): P {
    return convert("Inpainting", pipeline, options) as P;
  }
}

const nameOf = (task: AutoTask): string => `AutoPipelineFor${task}`;

const OWN_NAMES = ["enablePag"];

async function load(
  task: AutoTask,
  source: RepositorySource,
  given: (PipelineOptions & AutoOptions & Components) | null | undefined,
): Promise<DiffusionPipeline> {
  const caller = `${nameOf(task)}.fromPretrained`;
  const { enablePag, ...options } = givenOptions(given, [...PIPELINE_OPTION_NAMES, ...OWN_NAMES], caller);
  refusePag(caller, enablePag);
  const { controlnet } = options;
  // As in diffusers, null leaves a ControlNet out of a pipeline that is for one.
  const steering = controlnet === undefined ? undefined : steeringBy(controlnet) || "-controlnet";
  const classOf = (named: unknown): ReturnType<typeof autoClass> & {} => {
    const Class = autoClass(task, named, steering);
    if (Class) return Class;
    throw new ConfigError(`model_index.json: ${nothingLinked(task, named, steering)}`);
  };
  return whileReporting(options, (controller, progressCallback) =>
    loadPipeline(source, { ...options, progressCallback }, { classOf, controller }),
  );
}

function convert(
  task: AutoTask,
  pipeline: DiffusionPipeline,
  given: (AutoOptions & Components) | null | undefined,
): DiffusionPipeline {
  const caller = `${nameOf(task)}.fromPipe`;
  const { enablePag, controlnet, ...options } = inOwnSpelling(given, OWN_NAMES, caller);
  refusePag(caller, enablePag);
  expectPipeline(caller, pipeline);
  const steering = controlnet === undefined ? undefined : steeringBy(controlnet);
  const Class = autoClass(task, pipeline.className, steering);
  if (!Class) throw new TypeError(`${caller}: ${nothingLinked(task, pipeline.className, steering)}`);
  // diffusers looks at no classes here: a VAE of another kind stays.
  return fromPipe(Class, pipeline, steering ? { ...options, controlnet } : options, { anyClass: true });
}

const STEERED: Readonly<Record<Steering, string>> = {
  "": "",
  "-controlnet": " with a ControlNet",
  "-controlnet-union": " with a union of ControlNets",
};

function nothingLinked(task: AutoTask, named: unknown, steering: Steering = ""): string {
  return (
    `AutoPipeline can't find a pipeline linked to ${typeof named === "string" ? named : shown(named)}` +
    `${STEERED[steering]} for ${task} in this version. There are ${autoNames(task)}`
  );
}

function refusePag(caller: string, enablePag: unknown): void {
  if (enablePag)
    throw new TypeError(`${caller}: enablePag: perturbed-attention guidance (PAG) is not supported; leave it out`);
}
