/** Weights from one device to others: the same bytes, as the kernels want them. */
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Module, Parameter } from "../module.js";
import { pieces, readPiece } from "./save_weights.js";
import { wholeWords } from "./weights.js";

/** Fills `copies`, one per device; each piece is read once. The weights of `model` must be loaded. */
export async function copyWeights(model: Module, copies: readonly Module[], devices: readonly Device[]): Promise<void> {
  const targets = copies.map((copy) => new Map(copy.parameters()));
  const begun = devices.map((device) => device.queue.faults.now);
  const done = new Set<Parameter>();
  for (const [key, { holder }] of model.parameters()) {
    if (done.has(holder)) continue;
    done.add(holder);
    const { value } = holder;
    const tensors = devices.map((device, i) => {
      const tensor = device.keep(Tensor.empty(device, value.shape, value.dtype, { persistent: true, label: key }));
      targets[i].get(key)?.holder.assign(tensor);
      return tensor;
    });
    for (const view of pieces({ shape: [value.size], strides: [1] })) {
      const bytes = wholeWords(await readPiece(value.device, value, view, value.dtype));
      const offset = (view.offset ?? 0) * value.itemSize;
      for (const { block, device } of tensors) device.queue.push({ kind: "write", block, offset, data: bytes });
      // Before the next piece, or pieces would pile up in memory.
      await Promise.all(devices.map((device) => device.flush()));
    }
  }
  await Promise.all(devices.map((device) => device.synchronize()));
  devices.forEach((device, i) => device.queue.check(begun[i])); // what went wrong with other work may have taken a piece
  model.parameters().next().value?.[1].holder.value.device.trim();
}
