/** Saving a pipeline in diffusers' layout: model_index.json and a folder per component. */
import { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import { DIFFUSERS_VERSION, toJSONString } from "../loader/config_json.js";
import { inFolder, saveText, type SaveTarget } from "../loader/save_target.js";
import { PretrainedModel } from "../nn/pretrained.js";
import type { SaveOptions } from "../nn/save_model.js";
import { Scheduler } from "../schedulers/scheduler.js";

/** What of a pipeline is saved. */
export interface SavedPipeline {
  readonly className: string;
  readonly components: Readonly<Record<string, unknown>>;
  /** The other entries of model_index.json. */
  readonly entries: Readonly<Record<string, unknown>>;
}

/** model_index.json comes last: a folder without it is no pipeline. */
export async function savePipeline(target: SaveTarget, pipeline: SavedPipeline, options: SaveOptions): Promise<void> {
  const index: Record<string, unknown> = { ...pipeline.entries };
  for (const [name, component] of Object.entries(pipeline.components))
    index[name] = (await saveComponent(target, name, component, options)) ?? [null, null];
  Object.assign(index, { _class_name: pipeline.className, _diffusers_version: DIFFUSERS_VERSION });
  await saveText(target, "model_index.json", `${toJSONString(index)}\n`);
}

/** Writes one component; returns its `[library, class]`, null where there is nothing to write. */
async function saveComponent(
  target: SaveTarget,
  name: string,
  component: unknown,
  options: SaveOptions,
): Promise<[library: string, className: string] | null> {
  if (component === null || component === undefined) return null;
  if (component instanceof PretrainedModel) {
    await component.saveTo(target, name, options);
    return [component.library, (component.constructor as unknown as { className: string }).className];
  }
  if (component instanceof Scheduler) {
    await saveText(target, inFolder(name, "scheduler_config.json"), component.toJSONString());
    return ["diffusers", component.className];
  }
  if (component instanceof CLIPTokenizer) {
    await component.saveTo(target, name);
    return ["transformers", "CLIPTokenizer"];
  }
  console.warn(`${name} is of a class that cannot be saved; model_index.json will have [null, null] for it.`);
  return null;
}
