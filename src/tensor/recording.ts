/**
 * What a plan is made from: while a recording is open, ops push their commands here instead of to the queue, and take memory
 * that does not exist yet. When it is closed, all lifetimes are known, and every block gets a place in as few buffers as
 * they allow: the peak is known before anything is allocated.
 */
import type { Command } from "./command_queue.js";
import type { Block, Memory } from "./memory.js";

/** A block of a recording: without a buffer until its place is known. */
export interface PlannedBlock extends Block {
  buffer: GPUBuffer;
  readonly planned: true;
  /** Indices of the first and the last command that may use it. */
  first: number;
  last: number;
}

export class Recording {
  readonly commands: Command[] = [];
  /** Commands whose results stay the same for every replay. */
  readonly prologue: Command[] = [];
  readonly blocks: PlannedBlock[] = [];
  #target = this.commands;

  constructor(private readonly memory: Memory) {}

  push(command: Command): void {
    if (command.kind === "write")
      throw new Error(
        "Plan: numbers were uploaded while recording; make every input of the work a tensor outside of it.",
      );
    this.#target.push(command);
  }

  /** What `work` records is done once per input set, not in every replay; its memory lives as long as the plan. */
  hoist<T>(work: () => T): T {
    this.#target = this.prologue;
    try {
      return work();
    } finally {
      this.#target = this.commands;
    }
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

  /** Bytes of the buffers that `place` makes. */
  get peakBytes(): number {
    return assign(this.blocks).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Makes the buffers. @returns them: the plan destroys them */
  place(label: string): Block[] {
    return assign(this.blocks).map(({ bytes, tenants }) => {
      const block = this.memory.create(bytes, label);
      for (const tenant of tenants) tenant.buffer = block.buffer;
      return block;
    });
  }
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
