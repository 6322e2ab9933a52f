/**
 * Work that is recorded once and replayed: a step of a denoising loop. A replay checks no shapes, takes no memory and makes no bind
 * groups; it encodes a list. The values of its input tensors may change between replays, nothing else.
 */
import type { Command, Dispatch } from "./command_queue.js";
import type { Device } from "./device.js";
import type { Moment } from "./faults.js";
import type { Block, TextureBlock } from "./memory.js";
import { PARAMS_BYTES, type PipelineEntry } from "./pipeline_cache.js";
import { UploadInPlanError } from "./recording.js";
import { product } from "./dtype.js";
import { Tensor } from "./tensor.js";

/** Rows of a tensor, [count, …] from row `first` on, where a plan takes a row of a table in each run. */
export interface Rows {
  of: Tensor;
  first: number;
  count: number;
}

export type PlanInput = Tensor | Rows;

/** A copy between buffers. */
export interface BlockCopy {
  source: Block;
  /** In bytes. */
  from: number;
  target: Block;
  bytes: number;
}

/** What an input is now, and where. @throws RangeError if rows are no range, or do not begin at whole quads */
function located(input: PlanInput): { shape: readonly number[]; tensor: Tensor; from: number } {
  if (input instanceof Tensor) return { shape: input.shape, tensor: input, from: 0 };
  const { of, first, count } = input;
  const [rows, ...rest] = of.shape;
  const width = product(rest);
  if (!(first >= 0 && count > 0 && first + count <= rows) || width % 4 !== 0)
    throw new RangeError(`Plan: rows ${first} to ${first + count} are no range of whole quads of ${String(of)}`);
  return { shape: [count, ...rest], tensor: of, from: first * width * of.itemSize };
}

/**
 * One dispatch as Dawn's Node binding takes it fastest: of its calls, a list of offsets costs 0.4 µs less than a range of a
 * Uint32Array, and each number that can be left out 0.1 µs (of 6 µs in all, on the CPU adapters' two cores).
 */
export interface Encoded {
  kind: "encoded";
  entry: PipelineEntry;
  /** That of `entry`, once it is compiled. */
  pipeline: GPUComputePipeline | null;
  group: GPUBindGroup;
  /** Where its params are in the plan's buffer of them. */
  offsets: readonly [number];
  /** Without trailing ones. */
  grid: readonly [x: number, y?: number, z?: number];
  flops: number;
}

export class Plan {
  readonly #device: Device;
  /** What goes wrong later may take what replays rely on. */
  readonly #recorded: Moment;
  readonly #inputs: readonly Tensor[];
  /** Of the inputs' sources when they were last copied. */
  readonly #seen: { block: Block; version: number; from: number }[] = [];
  readonly #hoisted: ReadonlySet<number>;
  readonly #prologue: readonly Command[];
  readonly #commands: readonly Command[];
  readonly #once: readonly Command[];
  readonly #textures: readonly TextureBlock[];
  readonly #buffers: Block[];
  #encoded: readonly (Encoded | Command)[] | null = null;
  readonly #output: Tensor;
  /** Bytes of the buffers that hold the intermediate results. */
  readonly bytes: number;

  /**
   * Records `work` on copies of `inputs`. Nothing runs yet.
   * @param inputs tensors whose values change between runs
   * @param hoisted indices of inputs that change rarely: what `Tensor.memo` derives from them is computed when they do
   * @param work must make its result by ops on these tensors and on weights alone
   */
  constructor(
    device: Device,
    inputs: readonly PlanInput[],
    work: (...inputs: Tensor[]) => Tensor,
    { hoisted = [] as readonly number[], label = "plan" } = {},
  ) {
    const recording = device.record();
    this.#device = device;
    this.#recorded = device.queue.faults.now;
    this.#hoisted = new Set(hoisted);
    this.#inputs = inputs
      .map(located)
      .map(({ shape, tensor: { dtype } }) =>
        device.keep(Tensor.empty(device, shape, dtype, { persistent: true, label: `${label} input` })),
      );
    for (const { block } of this.#inputs) recording.inputs.add(block);
    try {
      this.#output = device.keep(device.scope(() => work(...this.#inputs)));
      device.stopRecording();
    } catch (error) {
      device.stopRecording();
      for (const input of this.#inputs) input.dispose();
      throw error;
    }
    // A plan has buffers and copies of its own, and what comes before it (a text encoder) is done.
    device.trim();
    const { buffers, textures, once } = recording.place(label);
    this.#commands = recording.commands.filter((command) => !once.has(command));
    this.#prologue = recording.prologue;
    this.#once = [...once];
    this.#buffers = buffers;
    this.#textures = textures;
    this.bytes = this.#buffers.reduce((sum, block) => sum + block.bytes, 0);
  }

  /** A plan, or null if the work makes tensors from numbers on its way (see UploadInPlanError). */
  static attempt(...args: ConstructorParameters<typeof Plan>): Plan | null {
    try {
      return new Plan(...args);
    } catch (error) {
      if (error instanceof UploadInPlanError) return null;
      throw error;
    }
  }

  /**
   * Records a run with the values that `inputs` have at this point.
   * @param options copy: the result is a new tensor of the caller's
   * @throws the error of a device on which something has gone wrong since the plan was recorded
   * @returns otherwise the result belongs to the plan: the next run overwrites it, `dispose` frees it
   */
  run(inputs: readonly PlanInput[], { copy = false } = {}): Tensor {
    const device = this.#device;
    const { queue } = device;
    const { faults } = queue;
    faults.expectNoneSince(this.#recorded);
    const stale = inputs.map((input, i) => this.#refresh(input, i));
    const before = stale.filter((each) => each !== null);
    const output = this.#output;
    const result = copy ? Tensor.empty(device, output.shape, output.dtype) : output;
    const after = copy ? [{ source: output.block, from: 0, target: result.block, bytes: output.bytes }] : [];
    const rehoist = stale.some((each, i) => each && this.#hoisted.has(i)) && this.#prologue.length > 0;
    // The first run waits for pipelines; by the next they are compiled.
    if (this.#encoded && !rehoist) queue.push({ kind: "replay", before, steps: this.#encoded, after });
    else {
      queue.push({ kind: "replay", before, steps: [], after: [] });
      if (rehoist) for (const command of this.#prologue) queue.push(command);
      if (this.#encoded) queue.push({ kind: "replay", before: [], steps: this.#encoded, after });
      else {
        for (const command of [...this.#once, ...this.#commands]) queue.push(command);
        queue.push({ kind: "replay", before: [], steps: [], after });
        this.#encoded = this.#encode();
      }
    }
    faults.wrote(output.block);
    if (copy) faults.wrote(result.block);
    return result;
  }

  dispose(): void {
    for (const input of this.#inputs) input.dispose();
    this.#output.dispose();
    if (this.#device.isLost) return; // and all of it with the device
    this.#device.queue.push({ kind: "destroy", blocks: this.#buffers.splice(0) });
    destroyTextures(this.#device, this.#textures);
  }

  /** The copy of an input that has changed; null of another. */
  #refresh(input: PlanInput, i: number): BlockCopy | null {
    const own = this.#inputs[i];
    const { shape, tensor, from } = located(input);
    if (shape.join() !== own.shape.join() || tensor.dtype !== own.dtype)
      throw new RangeError(
        `Plan: input ${i} must be ${String(own)}, got ${input === tensor ? "" : "rows of "}${String(tensor)}`,
      );
    const { block } = tensor;
    this.#device.queue.faults.expectKept(block);
    const seen = this.#seen[i];
    if (seen?.block === block && seen.version === block.version && seen.from === from) return null;
    this.#seen[i] = { block, version: block.version, from };
    this.#device.queue.faults.wrote(own.block);
    return { source: block, from, target: own.block, bytes: own.bytes };
  }

  /** The commands with their params in one buffer, written once. Pipelines are looked up at the first replay. */
  #encode(): (Encoded | Command)[] {
    const device = this.#device;
    const dispatches = this.#commands.filter((command): command is Dispatch => command.kind === "dispatch");
    const words = new Uint32Array((Math.max(1, dispatches.length) * PARAMS_BYTES) / 4);
    dispatches.forEach(({ params }, i) => words.set(params, (i * PARAMS_BYTES) / 4));
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const uniforms = device.memory.create(words.byteLength, "plan params", usage);
    this.#buffers.push(uniforms);
    device.queue.push({ kind: "write", block: uniforms, offset: 0, data: words });
    let next = 0;
    return this.#commands.map((command) => {
      if (command.kind !== "dispatch") return command;
      const { entry, buffers, grid, flops } = command;
      const [x, y, z] = grid;
      return {
        kind: "encoded",
        entry,
        pipeline: null,
        group: device.queue.pipelines.makeBindGroup(entry, buffers, uniforms.buffer),
        offsets: [PARAMS_BYTES * next++] as const,
        grid: z > 1 ? grid : y > 1 ? ([x, y] as const) : ([x] as const),
        flops,
      };
    });
  }
}

function destroyTextures({ queue }: Device, textures: readonly TextureBlock[]): void {
  if (textures.length > 0) queue.push({ kind: "destroyTextures", textures });
}
