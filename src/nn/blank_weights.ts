import type { Device } from "../tensor/device.js";
import { Tensor } from "../tensor/tensor.js";
import type { PretrainedModel } from "./pretrained.js";

/** Gives a model's weights their memory on `device`, and no numbers. */
export function assignBlankWeights(model: PretrainedModel<object>, device: Device): void {
  for (const holder of new Set([...model.parameters()].map(([, { holder }]) => holder)))
    holder.assign(
      device.keep(
        Tensor.empty(device, holder.packedShape, holder.dtype ?? model.dtype, { persistent: true, label: "blank" }),
      ),
    );
}
