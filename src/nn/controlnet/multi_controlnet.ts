/** Several ControlNets as one component, diffusers/models/controlnets/multicontrolnet.py. */
import { checkModels, ModelList } from "../weights/model_list.js";
import { ControlNetModel } from "./controlnet.js";

/**
 * Several ControlNets, whose results are added up; `nets` are what it is made of. A StableDiffusionControlNetPipeline makes one of
 * a list, and loads and saves it: each net in a folder of its own.
 */
export class MultiControlNetModel extends ModelList<ControlNetModel> {
  static readonly className = "MultiControlNetModel";
  static readonly defaults = {};
  readonly nets: readonly ControlNetModel[];

  /** @throws TypeError for anything but a list of ControlNetModels */
  constructor(nets: readonly ControlNetModel[]) {
    super(MultiControlNetModel.className);
    checkModels(MultiControlNetModel.className, nets, ControlNetModel);
    this.nets = [...nets];
  }

  override get models(): readonly ControlNetModel[] {
    return this.nets;
  }

  protected override get component(): string {
    return "controlnet";
  }
}
