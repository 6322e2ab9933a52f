/** What a pipeline says of itself: the content of model_index.json, as an object and as text. */
import { DIFFUSERS_VERSION, toJSONString } from "../../loader/config_json.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { PretrainedModel } from "../../nn/weights/pretrained.js";
import { ConfiguredScheduler } from "../../schedulers/configured_scheduler.js";
import { BaseImageProcessor } from "../images/base_image_processor.js";

/** `["diffusers", "PNDMScheduler"]`; two nulls for a component that is not there. */
export type ComponentEntry = readonly [library: string | null, className: string | null];

/** Keys: components, with their entries, constructor arguments, and `_class_name`, `_diffusers_version`, `_name_or_path`. */
export type PipelineConfig = Readonly<Record<string, unknown>>;

/** The entry of a component; two nulls also for one of a class that is not of this library. */
export function componentEntry(component: unknown): ComponentEntry {
  if (component instanceof PretrainedModel) return [component.library, component.fileClass];
  if (component instanceof ConfiguredScheduler) return ["diffusers", component.className];
  if (component instanceof BaseImageProcessor) return ["transformers", component.className];
  if (component instanceof CLIPTokenizer) return ["transformers", CLIPTokenizer.className];
  return [null, null];
}

/** @param entries by component @param rest the other keys, without those that are undefined; the class's name and the version are added */
export function pipelineConfig(
  className: string,
  entries: Readonly<Record<string, ComponentEntry>>,
  rest: Readonly<Record<string, unknown>> = {},
): PipelineConfig {
  const frozen = Object.entries(entries).map(([name, entry]) => [name, Object.freeze([...entry])] as const);
  return Object.freeze({
    ...Object.fromEntries(frozen),
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    _class_name: className,
    _diffusers_version: DIFFUSERS_VERSION,
  });
}

/** model_index.json as diffusers writes and prints it. */
export const configText = (config: PipelineConfig): string => `${toJSONString(config)}\n`;
