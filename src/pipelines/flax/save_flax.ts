/** Saving a Flax pipeline: what it is made of, with the weights of its params, under the names of torch's classes. */
import { takeSaveOptions } from "../../loader/save_options.js";
import { saveInto, type SaveTarget } from "../../loader/save_target.js";
import { SAVE_OPTION_NAMES, type SaveOptions } from "../../nn/weights/save_model.js";
import { schedulerClass } from "../../schedulers/index.js";
import { componentEntry, pipelineConfig } from "../loading/pipeline_config.js";
import { savePipeline } from "../loading/save_pipeline.js";
import { FlaxParams, ReplicatedParams } from "./flax_params.js";
import type { FlaxStableDiffusionPipeline } from "./flax_stable_diffusion.js";

/** See FlaxStableDiffusionPipeline.savePretrained. */
export async function saveFlaxPipeline(
  pipeline: Pick<FlaxStableDiffusionPipeline, "tokenizer" | "scheduler" | "feature_extractor">,
  destination: string | SaveTarget,
  given: SaveOptions & { params: FlaxParams | ReplicatedParams },
): Promise<void> {
  const caller = "FlaxStableDiffusionPipeline";
  const { params, ...others } = (given as typeof given | undefined) ?? { params: undefined };
  const weights = params instanceof ReplicatedParams ? params.replicas[0] : params;
  if (!(weights instanceof FlaxParams))
    throw new TypeError(
      `${caller}.savePretrained: needs { params }, the params of fromPretrained(), as the pipeline has no weights`,
    );
  const options: SaveOptions = takeSaveOptions(caller, others, SAVE_OPTION_NAMES);
  const { vae, text_encoder, unet, safety_checker } = weights;
  const { tokenizer, scheduler, feature_extractor } = pipeline;
  const components = {
    vae,
    text_encoder,
    tokenizer,
    unet,
    scheduler: schedulerClass(scheduler.className.replace(/^Flax/, "")).fromConfig(scheduler.config),
    safety_checker,
    feature_extractor,
    image_encoder: null,
  };
  const entries = Object.entries(components).map(([name, part]) => [name, componentEntry(part)] as const);
  const config = pipelineConfig("StableDiffusionPipeline", Object.fromEntries(entries), {
    requires_safety_checker: true,
  });
  await saveInto(destination, `${caller}.savePretrained`, (target) =>
    savePipeline(target, { components, config }, options),
  );
}
