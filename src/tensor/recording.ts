/**
 * What a plan is made from: while a recording is open, ops push their commands here instead of to the queue, and take memory
 * that does not exist yet. When it is closed, all lifetimes are known, and every block gets a place in as few buffers as
 * they allow: the peak is known before anything is allocated.
 */
import type { Command } from "./command_queue.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import { TextureCache } from "./texture_cache.js";

/** A block of a recording: without a buffer until its place is known. */
export interface PlannedBlock extends Block {
  buffer: GPUBuffer;
  readonly planned: true;
  /** Indices of the first and the last command that may use it. */
  first: number;
  last: number;
}

/** Work that is to be recorded made a tensor from numbers: replays would not see other numbers. */
export class UploadInPlanError extends Error {
  constructor() {
    super("Plan: numbers were uploaded while recording; make every input of the work a tensor outside of it.");
    this.name = "UploadInPlanError";
  }
}

export class Recording {
  readonly commands: Command[] = [];
  /** Commands whose results stay the same for every replay. */
  readonly prologue: Command[] = [];
  readonly blocks: PlannedBlock[] = [];
  /** The plan's copies of its inputs. */
  readonly inputs = new Set<Block>();
  /** Copies of its own: what the device has in textures now may be gone at the next replay. */
  readonly #textures: { own: TextureCache; hoisted: TextureCache };
  #target = this.commands;

  constructor(private readonly memory: Memory) {
    const cache = (): TextureCache => new TextureCache(memory, (command) => this.push(command), true);
    this.#textures = { own: cache(), hoisted: cache() };
  }

  get textures(): TextureCache {
    return this.#target === this.prologue ? this.#textures.hoisted : this.#textures.own;
  }

  /** All textures that the commands use; the plan destroys them. */
  drainTextures(): TextureBlock[] {
    return [...this.#textures.own.drain(), ...this.#textures.hoisted.drain()];
  }

  push(command: Command): void {
    if (command.kind === "write") throw new UploadInPlanError();
    this.#target.push(command);
  }

  /** What `work` records is done once per input set, not in every replay; its memory lives as long as the plan. */
  hoist<T>(work: () => T): T {
    const target = this.#target;
    this.#target = this.prologue;
    try {
      return work();
    } finally {
      this.#target = target;
    }
  }

  /** Whether what is derived from a block is part of the plan; from others (weights) it is made at once, and once. */
  covers(block: Block): boolean {
    return "planned" in block || this.inputs.has(block);
  }

  take(bytes: number): PlannedBlock {
    const hoisted = this.#target === this.prologue;
    const block: PlannedBlock = {
      id: this.memory.nextId(),
      buffer: undefined as unknown as GPUBuffer, // until place()
      ...{ bytes, pooled: true, version: 0, planned: true as const },
      first: hoisted ? -1 : this.commands.length,
      last: Infinity,
    };
    this.blocks.push(block);
    return block;
  }

  /** The block is not used by later commands. */
  release(block: Block): void {
    const planned = block as PlannedBlock;
    if (planned.first >= 0) planned.last = this.commands.length - 1;
  }

  /**
   * Makes the buffers. @returns them: the plan destroys them
   * A released block is free after its last use, which may be long before: a caller holds an argument until the call is over.
   */
  place(label: string): Block[] {
    const uses = new Map<Block, number>();
    this.commands.forEach((command, i) => {
      for (const block of blocksOf(command)) uses.set(block, i);
    });
    for (const block of this.blocks) if (block.last < Infinity) block.last = uses.get(block) ?? block.first;
    return assign(this.blocks).map(({ bytes, tenants }) => {
      const block = this.memory.create(bytes, label);
      for (const tenant of tenants) tenant.buffer = block.buffer;
      return block;
    });
  }
}

function blocksOf(command: Command): Block[] {
  if (command.kind === "dispatch")
    return command.buffers.flatMap((binding) => ("block" in binding ? [binding.block] : []));
  return command.kind === "texture" ? [command.source, command.block] : [];
}

interface Slot {
  bytes: number;
  tenants: PlannedBlock[];
}

/**
 * Blocks to buffers, the largest first, each into the tightest buffer that is free all its life ("greedy by size", Pisarchyk & Lee
 * 2020). Whole buffers and not ranges of one: WebGPU forbids reading and writing ranges of one buffer in one dispatch.
 */
function assign(blocks: readonly PlannedBlock[]): Slot[] {
  const slots: Slot[] = [];
  for (const block of [...blocks].sort((a, b) => b.bytes - a.bytes)) {
    const meets = (other: PlannedBlock): boolean => block.first <= other.last && other.first <= block.last;
    // All are at least as large as this block; the last made is the tightest.
    const free = slots.findLast(({ tenants }) => !tenants.some(meets));
    if (free) free.tenants.push(block);
    else slots.push({ bytes: block.bytes, tenants: [block] });
  }
  return slots;
}
