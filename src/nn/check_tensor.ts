import { noTensor } from "../tensor/no_tensor.js";
import { Tensor } from "../tensor/tensor.js";

/** @throws TypeError unless it is a tensor, naming what it is */
export function checkTensor(where: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw new TypeError(`${where}: ${name} must be a Tensor, got ${noTensor(value)}`);
}
