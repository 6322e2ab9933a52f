/**
 * Copies in textures that a plan makes: as with its buffers (recording.ts), a texture exists when the lifetimes of all are known. Copies
 * of weights are made once where all of them fit into the budget; else they share what lies between their uses.
 */
import type { Command } from "./command_queue.js";
import { assign } from "./lifetimes.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import type { Region } from "./part.js";
import type { Reordered } from "./reordered.js";
import { BUDGET, copyKey, MOST_OPERANDS, recordCopy, sourceOf, type CopyCommand } from "./texture_cache.js";

/** A texture of a recording: without one until its place is known. */
interface PlannedTexture extends TextureBlock {
  texture: GPUTexture;
  view: GPUTextureView;
  /** Indices of its copy and of the last command that reads it. */
  first: number;
  last: number;
}

export interface PlacedTextures {
  /** The plan destroys them. */
  textures: TextureBlock[];
  /** Copies that last for all replays. */
  once: Set<CopyCommand>;
}

export class PlannedTextures {
  readonly #planned = new Map<TextureBlock, PlannedTexture>();
  /** Those that the next ops may read again, by block and order. */
  readonly #near = new Map<string, { texture: TextureBlock; version: number }>();

  constructor(
    private readonly memory: Memory,
    private readonly record: (command: CopyCommand) => void,
  ) {}

  of(operand: Region | Reordered): TextureBlock {
    const key = copyKey(operand);
    const { version } = sourceOf(operand);
    const known = this.#near.get(key);
    this.#near.delete(key);
    const texture = known?.version === version ? known.texture : recordCopy(operand, this.#plan, this.record);
    this.#near.set(key, { texture, version });
    for (const old of [...this.#near.keys()].slice(0, -2 * MOST_OPERANDS)) this.#near.delete(old);
    return texture;
  }

  readonly #plan = (height: number, format: TextureBlock["format"]): TextureBlock => {
    const texture: PlannedTexture = {
      id: this.memory.nextId(),
      format,
      height,
      bytes: this.memory.textureBytes(height, format),
      first: 0,
      last: 0,
      texture: undefined as unknown as GPUTexture, // until place()
      view: undefined as unknown as GPUTextureView,
    };
    this.#planned.set(texture, texture);
    return texture;
  };

  /** @param covers whether a block is the plan's own: what is copied from another is the same in every replay */
  place(commands: readonly Command[], covers: (block: Block) => boolean): PlacedTextures {
    const constant: [CopyCommand, PlannedTexture][] = [];
    commands.forEach((command, i) => {
      if (command.kind === "texture") {
        const planned = this.#planned.get(command.texture)!;
        planned.first = planned.last = i;
        if (!covers(command.source)) constant.push([command, planned]);
      } else if (command.kind === "dispatch")
        for (const binding of command.buffers) if ("view" in binding) this.#planned.get(binding)!.last = i;
    });
    const fits = constant.reduce((sum, [, { bytes }]) => sum + bytes, 0) <= BUDGET.plan;
    if (fits) for (const [, planned] of constant) [planned.first, planned.last] = [-1, Infinity];
    const textures = (["rgba16float", "rgba32float"] as const).flatMap((format) =>
      assign([...this.#planned.values()].filter((planned) => planned.format === format)).map(({ tenants }) => {
        const block = this.memory.createTexture(tenants[0].tenant.height, format);
        for (const { tenant } of tenants) Object.assign(tenant, { texture: block.texture, view: block.view });
        return block;
      }),
    );
    return { textures, once: new Set(fits ? constant.map(([command]) => command) : []) };
  }
}
