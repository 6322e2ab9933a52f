/** Several unions of ControlNets as one component, diffusers/models/controlnets/multicontrolnet_union.py. */
import { checkModels, ModelList } from "../weights/model_list.js";
import { ControlNetUnionModel } from "./controlnet_union.js";

/** As MultiControlNetModel, of a StableDiffusionXLControlNetUnionPipeline: each net reads one of the pictures. */
export class MultiControlNetUnionModel extends ModelList<ControlNetUnionModel> {
  static readonly className = "MultiControlNetUnionModel";
  readonly nets: readonly ControlNetUnionModel[];

  /** @throws TypeError for anything but a list of ControlNetUnionModels */
  constructor(nets: readonly ControlNetUnionModel[]) {
    super(MultiControlNetUnionModel.className);
    checkModels(MultiControlNetUnionModel.className, nets, ControlNetUnionModel);
    this.nets = [...nets];
  }

  override get models(): readonly ControlNetUnionModel[] {
    return this.nets;
  }

  protected override get component(): string {
    return "controlnet";
  }
}
