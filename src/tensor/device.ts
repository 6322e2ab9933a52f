/** A GPU device: its limits and features, its memory, its queue of recorded commands. */
import type { Kernel } from "../../kernels/wgsl.js";
import { plainOptions } from "../arguments/options.js";
import { shown } from "../arguments/shown.js";
import { adapterKind, adapterTitle, SUBGROUP_MATRIX, type ProductUnits, type WinogradCosts } from "./adapter_kind.js";
import { requestAdapter } from "./adapters.js";
import { CommandQueue } from "./command_queue.js";
import { DeviceLoss } from "./device_loss.js";
import { DeviceLostError, SMALLER } from "./errors.js";
import { Memory, type Block, type MemoryUse } from "./memory.js";
import { Part, type Region } from "./part.js";
import { packParams, type Binding, type BufferRange } from "./pipeline_cache.js";
import type { DType, HalfFormat } from "./dtype.js";
import { Recording } from "./recording.js";
import { Reordered } from "./reordered.js";
import { Tensor } from "./tensor.js";
import { TextureCache } from "./texture_cache.js";
import { keptWays } from "./tuning/store.js";
import { Tunings } from "./tuning/tunings.js";

/** What requestDevice() asks of WebGPU. By default an adapter of the browser's (in Node of Dawn's) choice, with all that it has. */
export interface DeviceOptions {
  /** Which of several GPUs: "low-power" or "high-performance". By default the browser's choice. */
  powerPreference?: GPUPowerPreference;
  /** An adapter of your own instead of the default one; an adapter makes one device only. */
  adapter?: GPUAdapter;
  /** Optional features to leave unused, e.g. ["shader-f16"]: for tests and for working round drivers. */
  disableFeatures?: string[];
  /** Limits to request instead of the adapter's own, e.g. WebGPU's defaults. */
  limits?: Record<string, number>;
}

const DEVICE_OPTION_NAMES = ["powerPreference", "adapter", "disableFeatures", "limits"];

/** One dispatch of a kernel variant. Buffers follow the kernel's bindings. */
export interface Run<V> {
  kernel: Kernel<V>;
  variant: V;
  values: Record<string, number>;
  buffers: readonly (Region | BufferRange | Reordered)[];
  /** Workgroups in x, y, z. */
  grid: readonly number[];
  /** Estimated floating-point operations; decides when a batch is submitted. */
  flops?: number;
}

const OPTIONAL_FEATURES = ["shader-f16", "subgroups", "timestamp-query", SUBGROUP_MATRIX];
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;

let current: Device | undefined;
let pendingDefault: Promise<Device> | undefined;

/** The device made first and still alive. Throws before one exists. */
export function defaultDevice(): Device {
  if (!current)
    throw new Error("No WebGPU device yet: call `await requestDevice()` or load a model first, or pass { device }.");
  return current;
}

/** @throws TypeError for anything else than a device, such as Python's "cuda" */
export function checkDevice(device: unknown): Device {
  if (device instanceof Device) return device;
  throw new TypeError(`device must be a Device from requestDevice() or devices(), got ${shown(device)}`);
}

/** The device that a loader was given; without one the default device, made on first use. */
export async function ensureDevice(given?: Device | null): Promise<Device> {
  if (given != null) return checkDevice(given);
  if (current) return current;
  pendingDefault ??= requestDevice().finally(() => (pendingDefault = undefined));
  return pendingDefault;
}

/**
 * Makes a GPU device with every useful feature and limit of its adapter. The first one becomes the default.
 * @throws NoAdapterError if there is no WebGPU adapter; TypeError for anything but an object of options
 */
export async function requestDevice(given?: DeviceOptions | null): Promise<Device> {
  const options = plainOptions(given, DEVICE_OPTION_NAMES, "requestDevice");
  try {
    return await makeDevice(options);
  } catch (error) {
    // Where the browser's GPU process has crashed since it gave the adapter, another adapter is as good.
    if (options.adapter || !(error instanceof DOMException) || error.name !== "OperationError") throw error;
    return makeDevice(options);
  }
}

async function makeDevice(options: DeviceOptions): Promise<Device> {
  const adapter = options.adapter ?? (await requestAdapter(options.powerPreference));
  const requiredFeatures = OPTIONAL_FEATURES.filter(
    (name) => adapter.features.has(name) && !options.disableFeatures?.includes(name),
  ) as GPUFeatureName[];
  const limits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits: { ...limits, ...options.limits } });
  const kept = await keptWays({ adapterInfo: adapter.info, features: gpu.features as ReadonlySet<string> });
  const device = new Device(gpu, adapter.info, new Tunings(kept));
  current ??= device;
  return device;
}

/**
 * A GPU device, made by requestDevice(): its limits and features, its memory, its queue of recorded commands. Models and tensors
 * live on one. destroy() ends it, and in Node lets the process exit.
 */
export class Device {
  /** Vendor, architecture and name of the adapter. */
  readonly adapterInfo: GPUAdapterInfo;
  /** WebGPU's optional features that are in use, e.g. "shader-f16". */
  readonly features: ReadonlySet<string>;
  /** WebGPU's limits, those of the adapter unless others were asked for. */
  readonly limits: GPUSupportedLimits;
  /** Resolves when the device is lost or destroyed, as in WebGPU. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly memory: Memory;
  readonly queue: CommandQueue;
  readonly #textures: TextureCache;
  /** What suits this adapter; see AdapterKind. */
  readonly isSoftware: boolean;
  readonly fusedMultiplyAdd: boolean;
  readonly broadcastLanes: number;
  readonly halfFormat: HalfFormat;
  readonly streamLanes: number;
  readonly quadSwaps: boolean;
  readonly cheapTextures: boolean;
  readonly unrollsTurns: boolean;
  readonly winograd: WinogradCosts;
  readonly flopsBudget: number;
  readonly productUnits: ProductUnits;
  /** What was measured to be faster here than what suits such adapters. */
  readonly tunings: Tunings;
  /** Every op by its reference kernel, which is slow: to see whether a wrong number comes from a fast one. */
  readonly plainKernels: boolean = false;
  /** It holds no numbers, see blankDevice(). */
  readonly isBlank: boolean = false;
  #scopes: Set<Tensor>[] = [];
  #dummies = new Map<DType, Tensor>();
  #gpu: GPUDevice;
  readonly #loss: DeviceLoss;

  constructor(gpu: GPUDevice, info: GPUAdapterInfo, tunings = new Tunings()) {
    this.#gpu = gpu;
    this.adapterInfo = info;
    this.features = gpu.features as ReadonlySet<string>;
    this.limits = gpu.limits;
    this.lost = gpu.lost;
    const kind = adapterKind(info, this.features);
    this.isSoftware = kind.isSoftware;
    this.fusedMultiplyAdd = kind.fusedMultiplyAdd;
    this.broadcastLanes = kind.broadcastLanes;
    this.halfFormat = kind.halfFormat;
    this.streamLanes = kind.streamLanes;
    this.quadSwaps = kind.quadSwaps;
    this.cheapTextures = kind.cheapTextures;
    this.unrollsTurns = kind.unrollsTurns;
    this.winograd = kind.winograd;
    this.flopsBudget = kind.flopsBudget;
    this.productUnits = kind.productUnits;
    this.tunings = tunings;
    this.memory = new Memory(gpu, (error) => this.queue.fail(error));
    this.queue = new CommandQueue(gpu, this.memory, this.flopsBudget, () => this.#textures.clear());
    this.#textures = new TextureCache(this.memory, (command) => this.queue.push(command));
    this.#loss = new DeviceLoss(gpu.lost, (error) => {
      this.queue.lose(error);
      if (current === this) current = undefined;
    });
  }

  /** Whether the device can no longer be used. */
  get isLost(): boolean {
    return this.queue.isLost !== null;
  }

  /** Buffers and bytes held now and at most. */
  get memoryUse(): MemoryUse {
    return this.memory.use;
  }

  /** Records one dispatch. It runs after everything recorded before. */
  run<V>({ kernel, variant, values, buffers, grid, flops = 0 }: Run<V>): void {
    const entry = this.queue.pipelines.get(kernel, variant);
    const [x = 1, y = 1, z = 1] = grid;
    if (x * y * z === 0) return;
    const { faults } = this.queue;
    const blocks = buffers.map((buffer) => (buffer instanceof Reordered ? buffer.tensor.block : buffer.block));
    blocks.forEach((block, i) => entry.access[i] !== "write" && faults.expectKept(block));
    const bindings = buffers.map((buffer, i) => this.#bind(kernel, buffer, entry.access[i] === "texture"));
    const before = faults.now.writes;
    blocks.forEach((block, i) => entry.access[i] === "write" && faults.wrote(block));
    this.queue.push({
      kind: "dispatch",
      entry,
      params: packParams(entry, values),
      buffers: bindings,
      grid: [x, y, z],
      flops,
      before,
    });
  }

  #bind<V>(kernel: Kernel<V>, buffer: Run<V>["buffers"][number], asTexture: boolean): Binding {
    if (!(buffer instanceof Tensor || buffer instanceof Part || buffer instanceof Reordered)) return buffer;
    if (asTexture) return (this.queue.recording?.textures ?? this.#textures).of(buffer);
    if (buffer instanceof Reordered) throw new Error(`${kernel.name}: ${buffer.order} are read through textures only`);
    const { block, bytes } = buffer;
    const limit = this.limits.maxStorageBufferBindingSize;
    if (bytes > limit)
      throw new RangeError(
        `${kernel.name}: ${String(buffer)} needs a binding of ${bytes} bytes, got an adapter that binds at most ${limit}. ` +
          SMALLER,
      );
    if (buffer instanceof Part) return { block, offset: buffer.offset, size: bytes };
    return block.bytes > limit ? { block, offset: 0, size: bytes } : { block };
  }

  /**
   * Runs `work` and disposes every tensor it made except those in its result (a tensor, or arrays and plain objects
   * of tensors). Scopes nest: what is returned belongs to the scope outside. `work` must be synchronous.
   */
  scope<T>(work: () => T): T {
    const made = new Set<Tensor>();
    this.#scopes.push(made);
    let result: T | undefined;
    try {
      result = work();
      return result;
    } finally {
      this.#scopes.pop();
      const kept = new Set<unknown>();
      collect(result, kept);
      const outer = this.#scopes.at(-1);
      for (const tensor of [...made])
        if (kept.has(tensor)) outer?.add(tensor);
        else tensor.dispose();
    }
  }

  /** Takes a tensor out of the current scopes: the caller disposes it. */
  keep<T extends Tensor>(tensor: T): T {
    for (const scope of this.#scopes) scope.delete(tensor);
    return tensor;
  }

  /** Gives a new tensor to the innermost scope. */
  track(tensor: Tensor): void {
    this.#scopes.at(-1)?.add(tensor);
  }

  /** Takes a disposed one out of all scopes. */
  untrack(tensor: Tensor): void {
    for (const scope of this.#scopes) scope.delete(tensor);
  }

  /** Memory for a short-lived tensor. */
  take(bytes: number, label: string): Block {
    return this.queue.recording?.take(bytes) ?? this.memory.take(bytes, label);
  }

  /** Gives the memory of a tensor back, when the work recorded before has run. */
  release(block: Block): void {
    if (this.queue.isLost) return;
    if ("planned" in block) return this.queue.recording?.release(block); // later it is the plan's
    if (block.pooled) this.memory.recycle(block);
    else this.queue.push({ kind: "destroy", blocks: [block] });
  }

  /** Destroys the buffers that wait for reuse, and the copies in textures. */
  trim(): void {
    if (this.queue.isLost) return;
    this.#textures.clear();
    const blocks = this.memory.drainPool();
    if (blocks.length > 0) this.queue.push({ kind: "destroy", blocks });
  }

  /** Opens a recording: until it is stopped, ops record into it. See Plan. */
  record(): Recording {
    if (this.queue.recording) throw new Error("Device: a plan is being recorded already");
    return (this.queue.recording = new Recording(this.memory));
  }

  /** Computes what is kept with the tensor of a block: while a plan is recorded, outside of what it replays. */
  derive<T>(block: Block, compute: () => T): T {
    const { recording } = this.queue;
    if (!recording) return compute();
    if (recording.covers(block)) return recording.hoist(compute);
    this.queue.recording = null;
    try {
      return compute();
    } finally {
      this.queue.recording = recording;
    }
  }

  /** Ends what record() began: ops run again. */
  stopRecording(): void {
    this.queue.recording = null;
  }

  /** A small tensor to bind where an optional input is absent. */
  dummy(dtype: DType): Tensor {
    let tensor = this.#dummies.get(dtype);
    if (!tensor) {
      tensor = this.keep(Tensor.empty(this, [4], dtype, { persistent: true, label: "absent" }));
      this.#dummies.set(dtype, tensor);
    }
    return tensor;
  }

  /** Submits all recorded work; rejects if anything has gone wrong. */
  async flush(): Promise<void> {
    await this.#loss.before(this.queue.flush());
  }

  /** Submits all recorded work and waits until the GPU has done it. */
  async synchronize(): Promise<void> {
    const { queue } = this;
    const { now } = queue.faults;
    await this.flush();
    await this.#loss.before(this.#gpu.queue.onSubmittedWorkDone());
    queue.check(now);
    queue.faults.reached(now, "done");
  }

  /**
   * Waits until nothing is under way, whatever becomes of it: after work that was given up, so that its errors come to nobody else and
   * its memory is free.
   */
  async settle(): Promise<void> {
    // An error ends a wait early: what is behind it has not been waited for.
    for (let i = 0; i < 2; i++) await this.synchronize().catch(() => undefined);
  }

  /** Copies bytes of a block to another one, all numbers multiples of 4. */
  copyBytes(source: Block, from: number, target: Block, to: number, bytes: number): void {
    const { faults } = this.queue;
    faults.expectKept(source);
    faults.wrote(target);
    this.queue.push({ kind: "copy", source, from, target, to, bytes });
  }

  /** Copies `bytes` of a block, from the byte `from` on, to the CPU, after all recorded work. */
  async readBytes(block: Block, bytes: number, from = 0): Promise<ArrayBuffer> {
    const { faults } = this.queue;
    const { now } = faults;
    faults.expectKept(block);
    const staging = this.memory.create(bytes, "readback", GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    try {
      this.queue.push({ kind: "copy", source: block, from, target: staging, to: 0, bytes });
      await this.flush();
      await this.#loss.before(staging.buffer.mapAsync(GPUMapMode.READ));
      this.queue.check(now);
      faults.reached(now, "done");
      return staging.buffer.getMappedRange().slice(0);
    } catch (error) {
      throw this.queue.isLost ?? error; // a map that is cut off by destroy() rejects with an AbortError of its own
    } finally {
      this.memory.destroy(staging);
    }
  }

  toString(): string {
    return `Device(${adapterTitle(this.adapterInfo)}${this.isLost ? ", lost" : ""})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Frees everything and ends the device. In Node the process can then exit. */
  destroy(): void {
    if (current === this) current = undefined;
    this.queue.lose(new DeviceLostError("destroyed", ""));
    this.memory.destroyAll();
    this.#gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function collect(value: unknown, into: Set<unknown>): void {
  if (typeof value !== "object" || value === null || into.has(value)) return;
  into.add(value);
  if ("device" in value && "shape" in value) return;
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, into);
}
