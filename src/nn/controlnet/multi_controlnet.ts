/** Several ControlNets as one component, diffusers/models/controlnets/multicontrolnet.py. */
import { shown } from "../../arguments/shown.js";
import { takeSaveOptions } from "../../loader/save_options.js";
import { saveInto, type SaveTarget } from "../../loader/save_target.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { PretrainedModel, type FromPretrainedOptions } from "../weights/pretrained.js";
import { SAVE_OPTION_NAMES, type SaveOptions } from "../weights/save_model.js";
import { ControlNetModel } from "./controlnet.js";

/** "controlnet", "controlnet_1", "controlnet_2"… */
export const folderOfNet = (folder: string, i: number): string => (i === 0 ? folder : `${folder}_${i}`);

/**
 * Several ControlNets, whose results are added up; `nets` are what it is made of. A StableDiffusionControlNetPipeline makes one of
 * a list, and loads and saves it: each net in a folder of its own.
 */
export class MultiControlNetModel extends PretrainedModel<object> {
  static readonly className = "MultiControlNetModel";
  static readonly defaults = {};
  readonly nets: readonly ControlNetModel[];

  /** @throws TypeError for anything but a list of ControlNetModels */
  constructor(nets: readonly ControlNetModel[]) {
    super({ name: MultiControlNetModel.className, defaults: {}, rules: {} }, {});
    const wrong = Array.isArray(nets) ? nets.find((net) => !((net as unknown) instanceof ControlNetModel)) : nets;
    if (wrong !== undefined || nets.length === 0)
      throw new TypeError(
        `MultiControlNetModel: takes a list of ControlNetModels, such as ControlNetModel.fromPretrained() loads, got ${shown(wrong ?? nets)}`,
      );
    this.nets = [...nets];
  }

  override get device(): Device | null {
    return this.nets[0].device;
  }

  override get dtype(): DType {
    return this.nets[0].dtype;
  }

  override get isDisposed(): boolean {
    return this.nets.some(({ isDisposed }) => isDisposed);
  }

  override async recover(options?: Pick<FromPretrainedOptions, "device" | "signal"> | null): Promise<void> {
    for (const net of this.nets) if (net.device?.isLost) await net.recover(options);
  }

  /**
   * Writes a folder per net, as diffusers does: `destination`, `destination_1`, …
   * @param destination a path (Node), or an object that takes the files, which gets `controlnet`, `controlnet_1`, …
   */
  override async savePretrained(destination: string | SaveTarget, given?: SaveOptions | null): Promise<void> {
    if (typeof destination === "string") {
      for (const [i, net] of this.nets.entries()) await net.savePretrained(folderOfNet(destination, i), given);
      return;
    }
    const options = takeSaveOptions(MultiControlNetModel.className, given, SAVE_OPTION_NAMES);
    await saveInto(destination, `${MultiControlNetModel.className}.savePretrained`, (target) =>
      this.saveTo(target, "controlnet", options),
    );
  }

  override async saveTo(target: SaveTarget, folder: string, options: SaveOptions = {}): Promise<void> {
    for (const [i, net] of this.nets.entries()) await net.saveTo(target, folderOfNet(folder, i), options);
  }
}
