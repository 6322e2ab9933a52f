import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Parameter } from "../module.js";
import type { PretrainedModel } from "./pretrained.js";

/** Gives a parameter its memory on `device`, of no certain content. */
export function allocate(holder: Parameter, device: Device, dtype: DType, label: string): void {
  holder.assign(device.keep(Tensor.empty(device, holder.packedShape, dtype, { persistent: true, label })));
}

/** Gives all weights of a model their memory on `device`, and no numbers. */
export function assignBlankWeights(model: PretrainedModel<object>, device: Device): void {
  for (const holder of new Set([...model.parameters()].map(([, { holder }]) => holder)))
    allocate(holder, device, holder.dtype ?? model.dtype, "blank");
}
