/** Saving a pipeline in diffusers' layout: model_index.json and a folder per component. */
import { saveText, type SaveTarget } from "../../loader/save_target.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { PretrainedModel } from "../../nn/weights/pretrained.js";
import type { SaveOptions } from "../../nn/weights/save_model.js";
import { Scheduler } from "../../schedulers/scheduler.js";
import { BaseImageProcessor } from "../images/base_image_processor.js";
import { configText, type PipelineConfig } from "./pipeline_config.js";

/** What of a pipeline is saved. */
export interface SavedPipeline {
  readonly components: Readonly<Record<string, unknown>>;
  /** With an entry for each component; two nulls where there is nothing to load again. */
  readonly config: PipelineConfig;
}

/** model_index.json comes last: a folder without it is no pipeline. */
export async function savePipeline(
  target: SaveTarget,
  { components, config }: SavedPipeline,
  options: SaveOptions,
): Promise<void> {
  for (const [name, component] of Object.entries(components))
    if (component !== null && component !== undefined) await saveComponent(target, name, component, options);
  await saveText(target, "model_index.json", configText(config));
}

/** Components without weights. */
const SAVED = [Scheduler, CLIPTokenizer, BaseImageProcessor] as const;

async function saveComponent(
  target: SaveTarget,
  name: string,
  component: unknown,
  options: SaveOptions,
): Promise<void> {
  if (component instanceof PretrainedModel) await component.saveTo(target, name, options);
  else if (SAVED.some((Class) => component instanceof Class))
    await (component as InstanceType<(typeof SAVED)[number]>).saveTo(target, name);
  else console.warn(`${name} is of a class that cannot be saved; model_index.json will have [null, null] for it.`);
}
