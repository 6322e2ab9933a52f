/**
 * The only submitter of GPU work. Ops record commands and return at once; commands are encoded in order as soon as
 * their pipelines are compiled, so the first pass through a model compiles all its kernels at the same time and
 * nothing ever blocks on a compiler. What is recorded here is a plain list; plan.ts records one to replay it.
 */
import { type DeviceLostError, GPUValidationError } from "./errors.js";
import { TEXTURE_WIDTH } from "../../kernels/wgsl.js";
import { Faults, type Moment } from "./faults.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import { PARAMS_BYTES, PipelineCache, type Binding, type PipelineEntry } from "./pipeline_cache.js";
import type { BlockCopy, Encoded } from "./plan.js";
import type { Recording } from "./recording.js";
import type { CopyCommand } from "./texture_cache.js";

export interface Dispatch {
  kind: "dispatch";
  entry: PipelineEntry;
  params: Uint32Array;
  buffers: readonly Binding[];
  grid: readonly [number, number, number];
  flops: number;
  /** How many writes were recorded before its own. */
  before: number;
}
export type Command =
  | Dispatch
  | CopyCommand
  | { kind: "write"; block: Block; offset: number; data: ArrayBufferView }
  | { kind: "copy"; source: Block; from: number; target: Block; to: number; bytes: number }
  | { kind: "replay"; before: readonly BlockCopy[]; steps: readonly (Encoded | Command)[]; after: readonly BlockCopy[] }
  | { kind: "destroy"; blocks: readonly Block[] }
  | { kind: "destroyTextures"; textures: readonly TextureBlock[] };

/** Dispatches per submit: enough to hide the cost of a submit, few enough that the GPU starts early. */
const BATCH = 128;
const EARLY = 32;

export class CommandQueue {
  readonly pipelines: PipelineCache;
  readonly faults = new Faults();
  /** While it is set, commands go there. */
  recording: Recording | null = null;
  #pending: Command[] = [];
  #uniforms: Block;
  #staging = new Uint32Array((BATCH * PARAMS_BYTES) / 4);
  #lost: DeviceLostError | null = null;
  #pumping = false;

  constructor(
    private readonly gpu: GPUDevice,
    private readonly memory: Memory,
    /** Floating-point operations after which a batch is submitted, so that no submit runs for seconds. */
    private readonly flopsPerSubmit: number,
    /** Called when recorded work was dropped. */
    private readonly onFault: () => void,
  ) {
    this.#uniforms = memory.create(BATCH * PARAMS_BYTES, "params", GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.pipelines = new PipelineCache(gpu, this.#uniforms.buffer);
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault?.();
      this.fail(new GPUValidationError((event as GPUUncapturedErrorEvent).error.message));
    });
  }

  /** Remembers the first error; the calls that wait now, or else the next one, throw it. */
  fail(error: Error, from?: number): void {
    this.faults.report(error, from);
  }

  lose(error: DeviceLostError): void {
    this.#lost ??= error;
    this.#pending = [];
  }

  get isLost(): DeviceLostError | null {
    return this.#lost;
  }

  push(command: Command): void {
    if (this.#lost) throw this.#lost;
    if (this.recording) return this.recording.push(command);
    if (command.kind === "write") this.faults.wrote(command.block);
    this.#pending.push(command);
    // Memory is given back at once where nothing that is recorded may use it: nobody need wait for anything after a dispose().
    const idle = this.#pending.length === 1 && command.kind.startsWith("destroy");
    if ((idle || this.#pending.length >= EARLY) && !this.#pumping) this.#pump();
  }

  /** Submits everything recorded so far. Rejects with whatever went wrong since the last wait, or goes wrong during this one. */
  async flush(): Promise<void> {
    const { now } = this.faults;
    for (;;) {
      this.#encode();
      const head = this.#pending[0];
      if (this.#lost || !head) break;
      if (head.kind === "dispatch") await head.entry.ready;
    }
    await this.memory.settled();
    this.check(now);
    this.faults.reached(now, "submitted");
  }

  /** Throws the loss of the device, or an error since `since` or that nobody has heard of. */
  check(since: Moment): void {
    if (this.#lost) throw this.#lost;
    if (this.faults.settle()) {
      this.#pending = this.#pending.filter((command) => command.kind.startsWith("destroy"));
      this.onFault();
    }
    this.faults.expectNoneSince(since);
  }

  /** Encodes what is ready now and comes back when the next pipeline is. */
  #pump(): void {
    this.#encode();
    const head = this.#pending[0];
    if (head?.kind !== "dispatch" || this.#pumping) return;
    this.#pumping = true;
    void head.entry.ready.then(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #encode(): void {
    let done = 0;
    while (done < this.#pending.length && !this.#lost) {
      const command = this.#pending[done];
      if (command.kind === "dispatch" || command.kind === "texture") {
        const encoded = this.#encodeBatch(done);
        if (encoded === 0) break;
        done += encoded;
      } else {
        this.#execute(command);
        done++;
      }
    }
    if (done > 0) this.#pending.splice(0, done);
  }

  #execute(command: Exclude<Command, Dispatch | CopyCommand>): void {
    if (command.kind === "write") {
      const { data } = command;
      this.gpu.queue.writeBuffer(command.block.buffer, command.offset, data.buffer, data.byteOffset, data.byteLength);
    } else if (command.kind === "copy") {
      const encoder = this.gpu.createCommandEncoder();
      const { source, from, target, to, bytes } = command;
      const [start, at] = [(source.offset ?? 0) + from, (target.offset ?? 0) + to];
      encoder.copyBufferToBuffer(source.buffer, start, target.buffer, at, bytes);
      this.gpu.queue.submit([encoder.finish()]);
    } else if (command.kind === "replay") {
      this.#replay(command);
    } else {
      if (command.kind === "destroy") for (const block of command.blocks) this.memory.destroy(block);
      else for (const texture of command.textures) this.memory.destroyTexture(texture);
      this.pipelines.forgetBindGroups();
    }
  }

  /** Encodes a plan's list. Its pipelines are compiled: a run that waited for them was recorded before. */
  #replay({ before, steps, after }: Extract<Command, { kind: "replay" }>): void {
    let encoder: GPUCommandEncoder | undefined;
    let pass: GPUComputePassEncoder | undefined;
    let current: GPUComputePipeline | undefined;
    let flops = 0;
    const submit = (): void => {
      pass?.end();
      if (encoder) this.gpu.queue.submit([encoder.finish()]);
      encoder = pass = current = undefined;
      flops = 0;
    };
    const copy = (copies: readonly BlockCopy[]): void => {
      if (copies.length === 0) return;
      pass?.end();
      pass = current = undefined;
      encoder ??= this.gpu.createCommandEncoder();
      for (const { source, from, target, bytes } of copies)
        encoder.copyBufferToBuffer(
          source.buffer,
          (source.offset ?? 0) + from,
          target.buffer,
          target.offset ?? 0,
          bytes,
        );
    };
    copy(before);
    for (const step of steps) {
      encoder ??= this.gpu.createCommandEncoder();
      if (step.kind !== "encoded") {
        if (step.kind !== "texture") throw new Error(`A plan cannot hold a command "${step.kind}"`);
        pass?.end();
        pass = current = undefined;
        copyToTexture(encoder, step);
        continue;
      }
      pass ??= encoder.beginComputePass();
      const pipeline = (step.pipeline ??= step.entry.pipeline!);
      if (pipeline !== current) pass.setPipeline((current = pipeline));
      pass.setBindGroup(0, step.group, step.offsets);
      pass.dispatchWorkgroups(...step.grid);
      if ((flops += step.flops) >= this.flopsPerSubmit) submit();
    }
    copy(after);
    submit();
  }

  /** Encodes and submits the run of ready dispatches (and copies to textures) that starts at `from`; returns how many. */
  #encodeBatch(from: number): number {
    let count = 0;
    let flops = 0;
    let encoder: GPUCommandEncoder | undefined;
    let pass: GPUComputePassEncoder | undefined;
    while (from + count < this.#pending.length && count < BATCH && flops < this.flopsPerSubmit) {
      const command = this.#pending[from + count];
      if (command.kind === "texture") {
        pass?.end();
        pass = undefined;
        encoder ??= this.gpu.createCommandEncoder();
        copyToTexture(encoder, command);
        count++;
        continue;
      }
      if (command.kind !== "dispatch") break;
      const { entry } = command;
      if (entry.error) this.fail(entry.error, command.before);
      else if (!entry.pipeline) break;
      else {
        encoder ??= this.gpu.createCommandEncoder();
        pass ??= encoder.beginComputePass();
        this.#staging.set(command.params, (count * PARAMS_BYTES) / 4);
        pass.setPipeline(entry.pipeline);
        pass.setBindGroup(0, this.pipelines.bindGroup(entry, command.buffers), [count * PARAMS_BYTES]);
        pass.dispatchWorkgroups(...command.grid);
        flops += command.flops;
      }
      count++;
    }
    if (encoder) {
      pass?.end();
      this.gpu.queue.writeBuffer(this.#uniforms.buffer, 0, this.#staging.buffer, 0, count * PARAMS_BYTES);
      this.gpu.queue.submit([encoder.finish()]);
    }
    return count;
  }
}

/** Whole rows, and what is left over. */
function copyToTexture(encoder: GPUCommandEncoder, { block, offset, texture, texels }: CopyCommand): void {
  const bytesPerRow = TEXTURE_WIDTH * (texture.format === "rgba16float" ? 8 : 16);
  const rows = Math.floor(texels / TEXTURE_WIDTH);
  const rest = texels % TEXTURE_WIDTH;
  const copy = (first: number, width: number, height: number): void =>
    encoder.copyBufferToTexture(
      { buffer: block.buffer, offset: (block.offset ?? 0) + offset + first * bytesPerRow, bytesPerRow },
      { texture: texture.texture, origin: [0, first] },
      [width, height],
    );
  if (rows > 0) copy(0, TEXTURE_WIDTH, rows);
  if (rest > 0) copy(rows, rest, 1);
}
