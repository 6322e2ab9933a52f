/**
 * Copies of tensors in textures, for kernels that fetch texels (kernels/wgsl.ts, `tensor`). A copy is made once and used until
 * its block is written again; beyond a budget the copies used longest ago make room.
 */
import { TEXTURE_WIDTH } from "../../kernels/wgsl.js";
import type { Block, Memory, TextureBlock } from "./memory.js";
import { Part, type Region } from "./part.js";
import { Reordered } from "./reordered.js";

interface Entry {
  texture: TextureBlock;
  /** Of the block when the copy was made. */
  version: number;
}

/**
 * Bytes that copies may take beside the tensors themselves: in a plan, where those of a small model last for all replays, and of single
 * ops, which make few of them again. The largest that is worth a copy: any weight of Stable Diffusion 1.5 in float16, and activations
 * but for the last of its VAE, whose copies would be as many bytes as all else.
 */
export const BUDGET = { plan: 96 * 2 ** 20, ops: 16 * 2 ** 20 };
const LARGEST = { weight: 72 * 2 ** 20, activation: 24 * 2 ** 20 };
/** Copies that one dispatch may need: those of a convolution, its weight, and a shortcut's two sources and weight. */
export const MOST_OPERANDS = 5;
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
  /** Bytes from the beginning of that block. */
  offset: number;
  texture: TextureBlock;
  texels: number;
}

export const sourceOf = (operand: Region | Reordered): Block =>
  operand instanceof Reordered ? operand.tensor.block : operand.block;

/** What copies of it are known by. */
export const copyKey = (operand: Region | Reordered): string =>
  `${sourceOf(operand).id} ${operand instanceof Reordered ? operand.order : offsetOf(operand)}`;

const offsetOf = (region: Region): number => (region instanceof Part ? region.offset : 0);

/** Records a copy, and before it what brings the numbers in order; `take` gives a texture of so many rows. */
export function recordCopy(
  operand: Region | Reordered,
  take: (rows: number, format: TextureBlock["format"]) => TextureBlock,
  record: (command: CopyCommand) => void,
): TextureBlock {
  const ordered = operand instanceof Reordered ? operand.compute(operand.tensor.device) : null;
  const region = ordered ?? (operand as Region);
  const halves = region.dtype === "float16";
  const texels = region.bytes / (halves ? 8 : 16);
  const texture = take(Math.ceil(texels / TEXTURE_WIDTH), halves ? "rgba16float" : "rgba32float");
  record({
    kind: "texture",
    source: sourceOf(operand),
    block: region.block,
    offset: offsetOf(region),
    texture,
    texels,
  });
  ordered?.dispose();
  return texture;
}

export class TextureCache {
  /** By block id and order, in order of use. */
  #entries = new Map<string, Entry>();
  #free: TextureBlock[] = [];
  #bytes = 0;

  constructor(
    private readonly memory: Memory,
    private readonly record: (command: CopyCommand | { kind: "destroyTextures"; textures: TextureBlock[] }) => void,
  ) {}

  /** Whether a tensor of so many bytes can have a copy at all. */
  static fits(what: keyof typeof LARGEST, bytes: number): boolean {
    return bytes <= LARGEST[what];
  }

  /** The texture with the content of a tensor at this point of the recorded work. */
  of(operand: Region | Reordered): TextureBlock {
    const { version } = sourceOf(operand);
    const key = copyKey(operand);
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    if (known && known.version !== version) this.#free.push(known.texture);
    const texture =
      known?.version === version
        ? known.texture
        : recordCopy(operand, (rows, format) => this.#take(roundHeight(rows), format), this.record);
    this.#entries.set(key, { texture, version });
    return texture;
  }

  /** Destroys all copies. */
  clear(): void {
    const textures = [...[...this.#entries.values()].map(({ texture }) => texture), ...this.#free];
    this.#entries.clear();
    this.#free = [];
    this.#bytes = 0;
    if (textures.length > 0) this.record({ kind: "destroyTextures", textures });
  }

  /** All but the newest entries, which may be operands of the op that asks. */
  #old(): [key: string, entry: Entry][] {
    return [...this.#entries].slice(0, -MOST_OPERANDS);
  }

  /** Takes out the texture that was used longest ago. */
  #oldest(): TextureBlock | undefined {
    const [first] = this.#old();
    if (first) this.#entries.delete(first[0]);
    return first?.[1].texture;
  }

  /** The lowest texture that holds as many rows, the one used longest ago of several. */
  #tightest(
    textures: readonly TextureBlock[],
    height: number,
    format: TextureBlock["format"],
  ): TextureBlock | undefined {
    return textures
      .filter((texture) => texture.format === format && texture.height >= height)
      .reduce<TextureBlock | undefined>((best, each) => (best && best.height <= each.height ? best : each), undefined);
  }

  #take(height: number, format: TextureBlock["format"]): TextureBlock {
    const bytes = this.memory.textureBytes(height, format);
    const waiting = this.#tightest(this.#free, height, format);
    if (waiting) return this.#free.splice(this.#free.indexOf(waiting), 1)[0];
    if (this.#bytes + bytes > BUDGET.ops) {
      const old = this.#old();
      const texture = this.#tightest(
        old.map(([, entry]) => entry.texture),
        height,
        format,
      );
      if (texture) {
        this.#entries.delete(old.find(([, entry]) => entry.texture === texture)![0]);
        return texture;
      }
    }
    const gone: TextureBlock[] = [];
    while (this.#bytes + bytes > BUDGET.ops) {
      const texture = this.#free.shift() ?? this.#oldest();
      if (!texture) break;
      this.#bytes -= texture.bytes;
      gone.push(texture);
    }
    if (gone.length > 0) this.record({ kind: "destroyTextures", textures: gone });
    this.#bytes += bytes;
    return this.memory.createTexture(height, format);
  }
}
