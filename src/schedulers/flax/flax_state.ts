/** The state of a stateless scheduler: frozen plain data, whose tensors belong to whoever holds the state. */
import { givenOptions } from "../../arguments/spelling.js";
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
function* stateTensors(state: object): Generator<Tensor> {
  for (const value of Object.values(state) as unknown[])
    if (value instanceof Tensor) yield value;
    else if (Array.isArray(value)) yield* (value as unknown[]).filter((item) => item instanceof Tensor);
}

/** Frees the tensors of a state, except those that its successor still has. */
export function disposeState(state: object, successor: object = {}): void {
  const kept = new Set(stateTensors(successor));
  for (const tensor of stateTensors(state)) if (!kept.has(tensor)) tensor.dispose();
}

/** A number as JSON has it, or where JSON has none (it writes null for these, and 0 for -0) its name. */
type SavedNumber = number | { number: string };
const UNWRITABLE = ["NaN", "Infinity", "-Infinity", "-0"];

interface SavedTensor {
  tensor: { shape: readonly number[]; dtype: DType; data: SavedNumber[] };
}

function savedNumber(value: number): SavedNumber {
  if (Object.is(value, -0)) return { number: "-0" };
  return Number.isFinite(value) ? value : { number: String(value) };
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

const mapped = (object: object, change: (value: unknown) => unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

/** A state as JSON, its tensors included: a run can go on later, on another device or another machine. */
export async function saveState(state: object): Promise<string> {
  const saved = new Map<Tensor, SavedTensor>();
  for (const tensor of stateTensors(state)) {
    const { shape, dtype } = tensor;
    saved.set(tensor, { tensor: { shape, dtype, data: Array.from(await tensor.data(), savedNumber) } });
  }
  // Not by a replacer: that would see what Tensor's own fields are first.
  const plain = (value: unknown): unknown => {
    if (typeof value === "number") return savedNumber(value);
    if (value instanceof Tensor) return saved.get(value);
    if (Array.isArray(value)) return (value as unknown[]).map(plain);
    return isPlain(value) ? mapped(value, plain) : value;
  };
  return JSON.stringify(mapped(state, plain));
}

/**
 * The state that `saveState` wrote, its tensors on `device`.
 * @throws SyntaxError, TypeError for what is no such text
 */
export function restoreState<S extends object>(text: string, options?: { device?: Device | null } | null): S {
  const { device } = givenOptions(options, ["device"], "restoreState");
  const parsed = JSON.parse(text) as unknown;
  if (!isPlain(parsed)) throw new TypeError("restoreState: the text is not a state that saveState() wrote");
  const revive = (value: unknown): unknown => {
    if (Array.isArray(value)) return (value as unknown[]).map(revive);
    if (!isPlain(value)) return value;
    if (typeof value.number === "string" && UNWRITABLE.includes(value.number)) return Number(value.number);
    if (!value.tensor) return frozen(mapped(value, revive));
    const { data, shape, dtype } = (value as unknown as SavedTensor).tensor;
    const made = Tensor.from(data.map(revive) as number[], shape, { dtype, device });
    return made.device.keep(made);
  };
  return frozen(mapped(parsed, revive)) as S;
}
