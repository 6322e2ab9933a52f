import { shown } from "../arguments/shown.js";

/** What stands where a Tensor should, for an error message, with the cure for plain numbers. */
export function noTensor(value: unknown): string {
  const numbers = ArrayBuffer.isView(value) || Array.isArray(value);
  return `${shown(value)}${numbers ? "; wrap it: Tensor.from(data, shape)" : ""}`;
}
