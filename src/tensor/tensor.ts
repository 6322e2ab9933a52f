/** A tensor: a shape, a dtype and GPU memory. Data only; the maths are the free functions in ops/. */
import { shown } from "../arguments/shown.js";
import { givenOptions } from "../arguments/spelling.js";
import { checkDevice, defaultDevice, type Device } from "./device.js";
import { BYTES, float16ToFloat32, float32ToFloat16, paddedBytes, product, type DType } from "./dtype.js";
import type { Block } from "./memory.js";

/** GPU memory shared by a tensor and its reshaped views; given back when the last of them is disposed. */
interface Storage {
  readonly block: Block;
  references: number;
}

function checkSizes(shape: readonly number[]): void {
  for (const n of shape)
    if (!Number.isSafeInteger(n) || n < 0)
      throw new RangeError(`Tensor: sizes must be non-negative integers, got [${shape.join(", ")}]`);
}

/** Nested lists would become NaN. */
function checkNumbers(data: unknown): void {
  if (ArrayBuffer.isView(data)) return;
  if (typeof (data as ArrayLike<unknown> | null)?.length !== "number" || typeof data === "string")
    throw new TypeError(`Tensor.from: data must be a list of numbers, got ${shown(data)}`);
  const wrong = Array.prototype.findIndex.call(data, (value) => typeof value !== "number");
  if (wrong < 0) return;
  const value = (data as ArrayLike<unknown>)[wrong];
  const cure = Array.isArray(value) ? "; flatten nested lists: data.flat(Infinity)" : "";
  throw new TypeError(`Tensor.from: data must be numbers, got ${shown(value)} at ${wrong}${cure}`);
}

/** How Tensor.from() keeps the numbers. */
export interface TensorOptions {
  /** Defaults to int32 for an Int32Array and to float32 otherwise. */
  dtype?: DType | null;
  /** Defaults to the device that the first requestDevice() or the first loader made. */
  device?: Device | null;
}

const OPTION_NAMES: readonly (keyof TensorOptions)[] = ["dtype", "device"];

/**
 * Numbers in GPU memory, with a shape and a dtype: Tensor.from() makes one, data() reads it. It never changes. Who made it, or got it
 * from a call, disposes it.
 */
export class Tensor {
  readonly device: Device;
  /** Sizes of its axes, row-major: the last one is contiguous. */
  readonly shape: readonly number[];
  /** How the numbers are stored. */
  readonly dtype: DType;
  /** Number of elements. */
  readonly size: number;
  readonly #storage: Storage;
  #disposed = false;
  #memos: Map<object, { derived: readonly Tensor[]; from: readonly Tensor[] }> | undefined;

  private constructor(device: Device, shape: readonly number[], dtype: DType, storage: Storage) {
    this.device = device;
    this.shape = Object.freeze([...shape]);
    this.dtype = dtype;
    this.size = product(shape);
    this.#storage = storage;
    device.track(this);
  }

  /** A tensor whose content is undefined until an op writes it. `persistent` memory (weights) stays outside the pool. */
  static empty(
    device: Device,
    shape: readonly number[],
    dtype: DType,
    { persistent = false, label = "tensor" } = {},
  ): Tensor {
    checkSizes(shape);
    const bytes = paddedBytes(product(shape), dtype);
    const block = persistent ? device.memory.create(bytes, label) : device.take(bytes, label);
    return new Tensor(device, shape, dtype, { block, references: 1 });
  }

  /**
   * Copies numbers to the GPU.
   * @param data as many numbers as `shape` holds, in row-major order
   * @throws RangeError if the counts differ; TypeError for another dtype, for what is no device, and for what is no list of numbers, such as nested lists
   */
  static from(data: ArrayLike<number>, shape: readonly number[], options?: TensorOptions | null): Tensor {
    const { dtype, device = defaultDevice() } = givenOptions(options, OPTION_NAMES, "Tensor.from");
    checkSizes(shape);
    checkNumbers(data);
    if (dtype !== undefined && !Object.hasOwn(BYTES, dtype)) {
      const why = String(dtype) === "bfloat16" ? " (WebGPU has no bfloat16)" : "";
      throw new TypeError(`Tensor.from: dtype must be ${Object.keys(BYTES).join(", ")}, got ${shown(dtype)}${why}`);
    }
    const size = product(shape);
    if (data.length !== size)
      throw new RangeError(`Tensor.from: shape [${shape.join(", ")}] holds ${size} numbers, got ${data.length}`);
    const type = dtype ?? (data instanceof Int32Array ? "int32" : "float32");
    const tensor = Tensor.empty(checkDevice(device), shape, type);
    const bytes = new Uint8Array(paddedBytes(size, type));
    const target = bytes.buffer;
    if (type === "int32") new Int32Array(target).set(data);
    else if (type === "float32") new Float32Array(target).set(data);
    else new Uint16Array(target).set(float32ToFloat16(data));
    device.queue.push({ kind: "write", block: tensor.block, offset: 0, data: bytes });
    return tensor;
  }

  /** Bytes in GPU memory, in whole words. */
  get bytes(): number {
    return paddedBytes(this.size, this.dtype);
  }

  /** The GPU memory; throws after dispose(). */
  get block(): Block {
    if (this.#disposed) throw new Error(`Tensor [${this.shape.join(", ")}]: used after dispose()`);
    return this.#storage.block;
  }

  /** Whether dispose() was called: it cannot be used any more. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * The same memory under another shape of as many elements: a tensor of its own, which is disposed, too. The memory is free when all
   * tensors on it are disposed.
   * @throws RangeError for a shape of more or fewer elements; Error after dispose()
   */
  reshape(shape: readonly number[]): Tensor {
    checkSizes(shape);
    if (product(shape) !== this.size)
      throw new RangeError(
        `reshape: [${this.shape.join(", ")}] does not hold as many elements as [${shape.join(", ")}]`,
      );
    void this.block;
    this.#storage.references++;
    return new Tensor(this.device, shape, this.dtype, this.#storage);
  }

  /** Like reshape, but this tensor is disposed: for ops that make a result under a handier shape. */
  reshapeOwned(shape: readonly number[]): Tensor {
    const result = this.reshape(shape);
    this.dispose();
    return result;
  }

  /**
   * Waits for the GPU and copies the numbers back: Float32Array (also for float16), or Int32Array, row-major.
   * @throws DeviceLostError; OutOfMemoryError, GPUValidationError where the work that makes the numbers failed; Error after dispose()
   */
  async data(): Promise<Float32Array | Int32Array> {
    const { device, dtype, size } = this;
    const bytes = await device.readBytes(this.block, paddedBytes(size, dtype));
    if (dtype === "int32") return new Int32Array(bytes, 0, size);
    if (dtype === "float32") return new Float32Array(bytes, 0, size);
    return float16ToFloat32(new Uint16Array(bytes, 0, size));
  }

  /**
   * Tensors derived from this one, computed on the first call with a key and freed together with it. Tensors never change,
   * so this is how the keys and values of cross-attention are computed once per prompt and not once per step.
   * @param from what else they are derived from (weights): where one of these was disposed, they are computed again
   */
  memo(key: object, compute: () => readonly Tensor[], from: readonly Tensor[] = []): readonly Tensor[] {
    this.#memos ??= new Map();
    const memo = this.#memos.get(key);
    const { faults } = this.device.queue;
    const isGone = (tensor: Tensor): boolean => tensor.disposed;
    if (memo && !memo.from.some(isGone) && !memo.derived.some((each) => isGone(each) || faults.lossOf(each.block)))
      return memo.derived;
    for (const tensor of memo?.derived ?? []) tensor.dispose();
    const derived = this.device.derive(this.block, () => compute().map((tensor) => this.device.keep(tensor)));
    this.#memos.set(key, { derived, from });
    return derived;
  }

  /** Gives the memory back; work already recorded with it still runs. Calling it twice is harmless. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { derived } of this.#memos?.values() ?? []) for (const tensor of derived) tensor.dispose();
    this.device.untrack(this);
    if (--this.#storage.references > 0) return;
    this.device.release(this.#storage.block);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `Tensor(${this.dtype} [${this.shape.join(", ")}])`;
  }

  /** Node would print the device with all that it holds. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Bytes of one element. */
  get itemSize(): number {
    return BYTES[this.dtype];
  }
}
