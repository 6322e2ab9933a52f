/** Several models of one kind as one component of a pipeline: diffusers' MultiControlNetModel, MultiControlNetUnionModel and MultiAdapter. */
import { shown } from "../../arguments/shown.js";
import { takeSaveOptions } from "../../loader/save_options.js";
import { saveInto, type SaveTarget } from "../../loader/save_target.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { PretrainedModel, type FromPretrainedOptions } from "./pretrained.js";
import { SAVE_OPTION_NAMES, type SaveOptions } from "./save_model.js";

/** "controlnet", "controlnet_1", "controlnet_2"… */
export const folderOfModel = (folder: string, i: number): string => (i === 0 ? folder : `${folder}_${i}`);

export abstract class ModelList<M extends PretrainedModel<object>> extends PretrainedModel<object> {
  /** The name of the component, under which models are saved into an object that takes files. */
  protected abstract readonly component: string;

  /** @param className of the list */
  constructor(className: string) {
    super({ name: className, defaults: {}, rules: {} }, {});
  }

  /** What the list is made of. */
  abstract get models(): readonly M[];

  override get device(): Device | null {
    return this.models[0].device;
  }

  override get dtype(): DType {
    return this.models[0].dtype;
  }

  override get isDisposed(): boolean {
    return this.models.some(({ isDisposed }) => isDisposed);
  }

  override async recover(options?: Pick<FromPretrainedOptions, "device" | "signal"> | null): Promise<void> {
    for (const model of this.models) if (model.device?.isLost) await model.recover(options);
  }

  /**
   * Writes a folder per model, as diffusers loads them: `destination`, `destination_1`, …
   * @param destination a path (Node), or an object that takes the files, which gets folders named after the component of pipelines
   */
  override async savePretrained(destination: string | SaveTarget, given?: SaveOptions | null): Promise<void> {
    if (typeof destination === "string") {
      for (const [i, model] of this.models.entries()) await model.savePretrained(folderOfModel(destination, i), given);
      return;
    }
    const options = takeSaveOptions(this.fileClass, given, SAVE_OPTION_NAMES);
    await saveInto(destination, `${this.fileClass}.savePretrained`, (target) =>
      this.saveTo(target, this.component, options),
    );
  }

  override async saveTo(target: SaveTarget, folder: string, options: SaveOptions = {}): Promise<void> {
    for (const [i, model] of this.models.entries()) await model.saveTo(target, folderOfModel(folder, i), options);
  }
}

/** @throws TypeError for anything but a list of such models, naming what it is */
export function checkModels<M>(
  className: string,
  models: unknown,
  Class: { readonly className: string; new (...args: never[]): M },
): asserts models is readonly M[] {
  const wrong: unknown = Array.isArray(models) ? models.find((model) => !(model instanceof Class)) : models;
  if (wrong !== undefined || (models as unknown[]).length === 0)
    throw new TypeError(
      `${className}: takes a list of ${Class.className}s, such as ${Class.className}.fromPretrained() loads, got ${shown(wrong ?? models)}`,
    );
}
