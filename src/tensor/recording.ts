/**
 * What a plan is made from: while a recording is open, ops push their commands here instead of to the queue, and take memory
 * that does not exist yet. When it is closed, all lifetimes are known, and every block gets a place in as little memory as
 * they allow: the peak is known before anything is allocated.
 */
import type { Command } from "./command_queue.js";
import { share } from "./lifetimes.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import { PlannedTextures } from "./planned_textures.js";
import type { CopyCommand } from "./texture_cache.js";

/** A block of a recording: without a buffer until its place is known. */
export interface PlannedBlock extends Block {
  buffer: GPUBuffer;
  offset: number;
  readonly planned: true;
  /** Indices of the first and the last command that may use it. */
  first: number;
  last: number;
}

/** What a plan holds; it destroys the buffers and textures. */
export interface Placed {
  buffers: Block[];
  textures: TextureBlock[];
  /** Copies to textures that last for all replays, and what brings them in order. */
  once: Set<Command>;
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
  readonly #textures: { own: PlannedTextures; hoisted: PlannedTextures };
  #target = this.commands;

  constructor(private readonly memory: Memory) {
    const planned = (): PlannedTextures => new PlannedTextures(memory, (command) => this.push(command));
    this.#textures = { own: planned(), hoisted: planned() };
  }

  get textures(): PlannedTextures {
    return this.#target === this.prologue ? this.#textures.hoisted : this.#textures.own;
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
      offset: 0,
      bytes,
      pooled: true,
      version: 0,
      planned: true as const,
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
   * Makes the buffers and textures. A released block is free after its last use, which may be long before: a caller holds an argument
   * until the call is over. WebGPU forbids reading and writing ranges of one buffer in one dispatch: such blocks are in different ones.
   */
  place(label: string): Placed {
    const uses = new Map<Block, number>();
    this.commands.forEach((command, i) => {
      for (const block of blocksOf(command)) uses.set(block, i);
    });
    for (const block of this.blocks) if (block.last < Infinity) block.last = uses.get(block) ?? block.first;
    const together = writtenWith([...this.prologue, ...this.commands]);
    const buffers = share(this.blocks, (a, b) => together.get(a)?.has(b) === true).map(({ bytes, tenants }) => {
      const block = this.memory.create(bytes, label);
      for (const { tenant, offset } of tenants) Object.assign(tenant, { buffer: block.buffer, offset });
      return block;
    });
    const covers = (block: Block): boolean => this.covers(block);
    const { textures, once } = this.#textures.own.place(this.commands, covers);
    const ordered = new Set([...once].map(({ block }) => block).filter(covers));
    const orders = (command: Command): boolean => blocksOf(command).some((block) => ordered.has(block));
    return {
      buffers,
      textures: [...textures, ...this.#textures.hoisted.place(this.prologue, () => true).textures],
      once: new Set(this.commands.filter((command) => once.has(command as CopyCommand) || orders(command))),
    };
  }
}

function blocksOf(command: Command): Block[] {
  if (command.kind === "dispatch")
    return command.buffers.flatMap((binding) => ("block" in binding ? [binding.block] : []));
  return command.kind === "texture" ? [command.source, command.block] : [];
}

/** For each block those that a dispatch reads while it writes that one, and the other way round. */
function writtenWith(commands: readonly Command[]): Map<Block, Set<Block>> {
  const together = new Map<Block, Set<Block>>();
  const add = (a: Block, b: Block): void => {
    const others = together.get(a);
    if (others) others.add(b);
    else together.set(a, new Set([b]));
  };
  for (const command of commands) {
    if (command.kind !== "dispatch") continue;
    const { access } = command.entry;
    const blocks = command.buffers.map((binding) => ("block" in binding ? binding.block : null));
    blocks.forEach((y, i) => {
      if (access[i] !== "write" || !y) return;
      for (const [k, x] of blocks.entries())
        if (access[k] === "read" && x) {
          add(x, y);
          add(y, x);
        }
    });
  }
  return together;
}
