/**
 * Modules whose field paths are safetensors keys: `this.down_blocks[0].resnets[1].conv1.weight` is read from the key
 * "down_blocks.0.resnets.1.conv1.weight". An absent layer is null; lists keep their positions (`net = [proj, null, out]`).
 * A parameter knows only its shape until it is loaded, so building a model costs nothing and lists every key.
 */
import { Columns, type Operand } from "../tensor/columns.js";
import type { Device } from "../tensor/device.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { HostCopy } from "./weights/host_copy.js";

/** How a weight is laid out for the kernels: a linear layer's [out, in] becomes [in, out], a convolution's
 *  [out, in, kh, kw] becomes [kh, kw, in, out]. "gated" is GEGLU's projection: a linear layer (or its bias) whose outputs are
 *  values and then gates, [2, inner]; they are interleaved by quads, [inner / 4, 2, 4], for matmul's option of that name. */
export type Packing = "none" | "linear" | "conv" | "gated";

export class Parameter {
  #value: Tensor | null = null;
  #disposed = false;
  /** Made when it is moved to the CPU, and kept: weights seldom change, and the next time nothing need be read. */
  #copy: HostCopy | null = null;
  /** Of a holder: works under way that need its numbers on the GPU. */
  users = 0;
  #place: { whole: Parameter; start: number } | null = null;

  constructor(
    /** The shape in the file. */
    readonly shape: readonly number[],
    readonly packing: Packing = "none",
    /** The dtype in memory where it is not that of the model. */
    readonly dtype?: DType,
  ) {}

  /** The shape in memory. */
  get packedShape(): number[] {
    const s = this.shape;
    if (s.length === 2 && this.packing !== "none") return [s[1], s[0]];
    return this.packing === "conv" ? [s[2], s[3], s[1], s[0]] : [...s];
  }

  /** Columns of another parameter's tensor, from `start` on, become this one's memory; see LinearStack. */
  placeIn(whole: Parameter, start: number): void {
    this.#place = { whole, start };
  }

  /** The parameter whose tensor holds this one's numbers: itself, or the one that it is placed in. */
  get holder(): Parameter {
    return this.#place?.whole ?? this;
  }

  /** Its numbers in memory, in the packed shape. */
  get packed(): Operand {
    return this.#place ? new Columns(this.#place.whole.value, this.#place.start, this.shape[0]) : this.value;
  }

  /** The tensor of a parameter that has one of its own. */
  get value(): Tensor {
    if (this.#place)
      throw new Error(
        `A parameter of shape [${this.shape.join(", ")}] has no tensor of its own: it lies in that of a LinearStack.`,
      );
    if (this.#value) return this.#value;
    const why = this.#disposed
      ? "was used after dispose()"
      : this.isOnCpu
        ? 'is on the CPU, where nothing is computed: `await model.to("webgpu")` first'
        : "has no value: load the model with fromPretrained()";
    throw new Error(`A parameter of shape [${this.shape.join(", ")}] ${why}.`);
  }

  get loaded(): boolean {
    return this.holder.#value !== null;
  }

  /** Whether it had a value that dispose() has freed. */
  get disposed(): boolean {
    return this.holder.#disposed;
  }

  /** Whether its numbers are in the CPU's memory alone. */
  get isOnCpu(): boolean {
    const { holder } = this;
    return holder.#value === null && holder.#copy !== null;
  }

  /** The device where a holder's numbers are, or come from. */
  get device(): Device | null {
    return this.#value?.device ?? this.#copy?.device ?? null;
  }

  assign(value: Tensor): void {
    this.#value?.dispose();
    this.#value = value;
    this.#copy = null;
    this.#disposed = false;
  }

  /** Moves the numbers of a holder to the CPU's memory. */
  async toCpu(): Promise<void> {
    const value = this.#value;
    if (!value) return;
    if (!this.#copy) this.#copy = await HostCopy.of(value);
    // Other numbers may have come meanwhile.
    if (this.#value !== value) return;
    value.dispose();
    this.#value = null;
  }

  /** Moves the numbers of a holder back to the device that they come from. */
  async toGpu(): Promise<void> {
    if (!this.isOnCpu) return;
    const value = await this.#copy!.upload();
    if (this.isOnCpu) this.#value = value;
    else value.dispose();
  }

  /** Gives up what it keeps for the next move to the CPU. */
  forgetCopy(): void {
    if (!this.isOnCpu) this.#copy = null;
  }

  dispose(): void {
    const { holder } = this;
    holder.#disposed ||= holder.loaded || holder.isOnCpu;
    holder.#value?.dispose();
    holder.#value = null;
    holder.#copy = null;
  }
}

export abstract class Module {
  /** Every parameter with its key, in the order of the fields. */
  *parameters(prefix = ""): Generator<[key: string, parameter: Parameter]> {
    yield* walk(this, prefix);
  }

  /** Every submodule with its path, itself first. */
  *modules(path = ""): Generator<[path: string, module: Module]> {
    yield* walkModules(this, path);
  }
}

function* walk(value: unknown, path: string): Generator<[string, Parameter]> {
  if (value instanceof Parameter) yield [path, value];
  else for (const [name, child] of children(value)) yield* walk(child, path ? `${path}.${name}` : name);
}

function* walkModules(value: unknown, path: string): Generator<[string, Module]> {
  if (value instanceof Module) yield [path, value];
  for (const [name, child] of children(value)) yield* walkModules(child, path ? `${path}.${name}` : name);
}

const children = (value: unknown): [string, unknown][] =>
  value instanceof Module || Array.isArray(value) ? Object.entries(value) : [];

/** The tensors that hold the weights of some modules. */
export const weightsOf = (...modules: readonly Module[]): Tensor[] =>
  modules.flatMap((module) => [...module.parameters()].map(([, { holder }]) => holder.value));
