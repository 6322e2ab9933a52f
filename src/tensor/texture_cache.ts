/**
 * Copies of tensors in textures, for kernels that fetch texels (kernels/wgsl.ts, `tensor`). A copy is made once and used until
 * its block is written again; beyond a budget the copies used longest ago make room.
 */
import { TEXTURE_WIDTH } from "../../kernels/wgsl.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import { Reordered } from "./reordered.js";
import type { Tensor } from "./tensor.js";

interface Entry {
  texture: TextureBlock;
  /** Of the block when the copy was made. */
  version: number;
}

/** Bytes that copies may take beside the tensors themselves. */
const BUDGET = 160 * 2 ** 20;
/** Copies that one dispatch may need: those of a convolution, its weight, and a shortcut's two sources and weight. */
const MOST_OPERANDS = 5;
/** Heights are rounded up to a quarter of their power of two, so that textures are reused. */
const roundHeight = (rows: number): number => {
  const step = Math.max(1, 2 ** (Math.floor(Math.log2(rows)) - 2));
  return Math.ceil(rows / step) * step;
};

export interface CopyCommand {
  kind: "texture";
  /** Whose numbers they are. */
  source: Block;
  /** Where they lie in the order that is wanted: that block, or one made for this copy. */
  block: Block;
  texture: TextureBlock;
  texels: number;
}

export class TextureCache {
  /** By block id and order, in order of use. */
  #entries = new Map<string, Entry>();
  #free: TextureBlock[] = [];
  #bytes = 0;

  /** @param forReplay the commands will run again and again: textures change hands, but none is destroyed */
  constructor(
    private readonly memory: Memory,
    private readonly record: (command: CopyCommand | { kind: "destroyTextures"; textures: TextureBlock[] }) => void,
    private readonly forReplay = false,
  ) {}

  /** Whether a tensor of so many bytes can have a copy at all. */
  static fits(bytes: number): boolean {
    return bytes <= BUDGET * 0.75;
  }

  /** The texture with the content of a tensor at this point of the recorded work. */
  of(operand: Tensor | Reordered): TextureBlock {
    const { tensor, order } = operand instanceof Reordered ? operand : { tensor: operand, order: "" };
    const { block, dtype } = tensor;
    const key = `${block.id} ${order}`;
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    if (known?.version === block.version) {
      this.#entries.set(key, known);
      return known.texture;
    }
    if (known) this.#free.push(known.texture);
    const format = dtype === "float16" ? "rgba16float" : "rgba32float";
    const ordered = operand instanceof Reordered ? operand.compute(tensor.device) : tensor;
    const texels = ordered.bytes / (dtype === "float16" ? 8 : 16);
    const texture = this.#take(roundHeight(Math.ceil(texels / TEXTURE_WIDTH)), format);
    this.#entries.set(key, { texture, version: block.version });
    this.record({ kind: "texture", source: block, block: ordered.block, texture, texels });
    if (ordered !== tensor) ordered.dispose();
    return texture;
  }

  /** Destroys all copies. */
  clear(): void {
    const textures = this.drain();
    if (textures.length > 0) this.record({ kind: "destroyTextures", textures });
  }

  /** Takes all textures out; the caller destroys them. */
  drain(): TextureBlock[] {
    const textures = [...[...this.#entries.values()].map(({ texture }) => texture), ...this.#free];
    this.#entries.clear();
    this.#free = [];
    this.#bytes = 0;
    return textures;
  }

  #take(height: number, format: TextureBlock["format"]): TextureBlock {
    const bytes = TEXTURE_WIDTH * height * (format === "rgba16float" ? 8 : 16);
    const reuse = (): TextureBlock | undefined => {
      const i = this.#free.findIndex((texture) => texture.height === height && texture.format === format);
      return i < 0 ? undefined : this.#free.splice(i, 1)[0];
    };
    let found = reuse();
    // The newest entries may be operands of the op that asks.
    while (!found && this.#bytes + bytes > BUDGET && this.#entries.size > MOST_OPERANDS) {
      const [[key, { texture }]] = this.#entries;
      this.#entries.delete(key);
      this.#free.push(texture);
      found = reuse();
    }
    if (found) return found;
    const gone: TextureBlock[] = [];
    while (!this.forReplay && this.#bytes + bytes > BUDGET && this.#free.length > 0) {
      const texture = this.#free.shift()!;
      this.#bytes -= texture.bytes;
      gone.push(texture);
    }
    if (gone.length > 0) this.record({ kind: "destroyTextures", textures: gone });
    this.#bytes += bytes;
    return this.memory.createTexture(height, format);
  }
}
