/** The state of a stateless scheduler: frozen plain data, whose tensors belong to whoever holds the state. */
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { Tensor } from "../../tensor/tensor.js";

/** A frozen copy; arrays in it are frozen too, typed ones become plain, so that JSON has them. */
export function frozen<T extends object>(state: T): T {
  const copy = Object.entries(state).map(([key, value]: [string, unknown]) => [key, frozenValue(value)]);
  return Object.freeze(Object.fromEntries(copy)) as T;
}

function frozenValue(value: unknown): unknown {
  if (value instanceof Float32Array) return Object.freeze(Array.from(value));
  return Array.isArray(value) && !Object.isFrozen(value) ? Object.freeze([...(value as unknown[])]) : value;
}

/** Every tensor in a state. */
export function* stateTensors(state: object): Generator<Tensor> {
  for (const value of Object.values(state) as unknown[])
    if (value instanceof Tensor) yield value;
    else if (Array.isArray(value)) yield* (value as unknown[]).filter((item) => item instanceof Tensor);
}

/** Frees the tensors of a state, except those that its successor still has. */
export function disposeState(state: object, successor: object = {}): void {
  const kept = new Set(stateTensors(successor));
  for (const tensor of stateTensors(state)) if (!kept.has(tensor)) tensor.dispose();
}

interface SavedTensor {
  tensor: { shape: readonly number[]; dtype: DType; data: number[] };
}

/** A state as JSON, its tensors included: a run can go on later, on another device or another machine. */
export async function saveState(state: object): Promise<string> {
  const saved = new Map<Tensor, SavedTensor>();
  for (const tensor of stateTensors(state)) {
    const { shape, dtype } = tensor;
    saved.set(tensor, { tensor: { shape, dtype, data: Array.from(await tensor.data()) } });
  }
  // Not by a replacer: that would see what Tensor's own fields are first.
  const plain = (value: unknown): unknown =>
    value instanceof Tensor ? saved.get(value) : Array.isArray(value) ? (value as unknown[]).map(plain) : value;
  return JSON.stringify(Object.fromEntries(Object.entries(state).map(([key, value]) => [key, plain(value)])));
}

/**
 * The state that `saveState` wrote, its tensors on `device`.
 * @throws SyntaxError, TypeError for what is no such text
 */
export function restoreState<S extends object>(text: string, { device }: { device?: Device } = {}): S {
  const parsed = JSON.parse(text) as unknown;
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new TypeError("restoreState: the text is not a state that saveState() wrote");
  const revive = (value: unknown): unknown => {
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : (value as unknown[]).map(revive);
    const { tensor } = (value ?? {}) as Partial<SavedTensor>;
    if (!tensor) return deepFrozen(value);
    const made = Tensor.from(tensor.data, tensor.shape, { dtype: tensor.dtype, device });
    return made.device.keep(made);
  };
  return frozen(Object.fromEntries(Object.entries(parsed).map(([key, value]) => [key, revive(value)])) as S);
}

const deepFrozen = (value: unknown): unknown => (typeof value === "object" && value !== null ? frozen(value) : value);
