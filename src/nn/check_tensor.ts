import { noTensor } from "../tensor/no_tensor.js";
import { Tensor } from "../tensor/tensor.js";

/** @throws TypeError unless it is a tensor, naming what it is */
export function checkTensor(where: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw new TypeError(`${where}: ${name} must be a Tensor, got ${noTensor(value)}`);
}

/** @throws TypeError, RangeError unless it is a tensor [batch, channels, height, width] of so many channels */
export function checkImages(where: string, x: Tensor, channels: number): void {
  const wanted = `[batch, ${channels}, height, width]`;
  checkTensor(where, `its input ${wanted}`, x);
  if (x.shape.length !== 4 || x.shape[1] !== channels)
    throw new RangeError(`${where}: takes ${wanted}, got [${x.shape.join(", ")}]`);
}
