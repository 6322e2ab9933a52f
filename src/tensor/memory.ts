/** The only maker of GPU buffers: labelled, counted, error-scoped, and pooled where they are short-lived. */
import { TEXTURE_WIDTH } from "../../kernels/wgsl.js";
import { OutOfMemoryError, SMALLER } from "./errors.js";

/** What offsets in a buffer are multiples of: WebGPU's default limit for those of bindings. */
export const ALIGNMENT = 256;

/** A GPU buffer with the bytes it can hold. `pooled` blocks go back to the pool when released, others are destroyed. */
export interface Block {
  readonly id: number;
  readonly buffer: GPUBuffer;
  /** Where it begins in a buffer that it shares with others; a block without has the whole buffer. */
  readonly offset?: number;
  readonly bytes: number;
  readonly pooled: boolean;
  /** The number of the last write to the buffer among all of the device, as they are recorded: copies elsewhere are of one version. */
  version: number;
}

/** A texture that holds a copy of a tensor, TEXTURE_WIDTH texels wide. */
export interface TextureBlock {
  readonly id: number;
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
  readonly format: "rgba32float" | "rgba16float";
  readonly height: number;
  readonly bytes: number;
}

/** A device's GPU memory, as `device.memoryUse` counts it. */
export interface MemoryUse {
  /** Live GPU buffers and their bytes, pooled ones included. */
  buffers: number;
  bytes: number;
  /** Of these, buffers that wait in the pool for reuse. */
  pooledBuffers: number;
  pooledBytes: number;
  /** Of the bytes, those in textures: copies of tensors, for adapters that read them faster. */
  textureBytes: number;
  /** The most bytes ever held at once. */
  peakBytes: number;
}

/** Sizes are rounded up to a quarter of their power of two, so that similar shapes share buffers (at most 25 % waste). */
function bucket(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(bytes)) - 2));
  return Math.ceil(bytes / step) * step;
}

export class Memory {
  #free = new Map<number, Block[]>();
  #live = new Set<Block>();
  #textures = new Set<TextureBlock>();
  #bytes = 0;
  #peak = 0;
  #nextId = 1;
  /** Allocation checks still under way; `settled` waits for them. */
  #checks = new Set<Promise<void>>();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly onError: (error: Error) => void,
  ) {}

  /** A number that no other block or texture has. */
  nextId(): number {
    return this.#nextId++;
  }

  /** A pooled storage block of at least `bytes`. Its content is undefined. */
  take(bytes: number, label: string): Block {
    const size = Math.min(bucket(bytes), Math.max(bytes, this.gpu.limits.maxStorageBufferBindingSize));
    return this.#free.get(size)?.pop() ?? this.create(size, label, undefined, true);
  }

  /** A new buffer outside the pool, of exactly `bytes`. Usage defaults to storage with copies both ways. */
  create(bytes: number, label: string, usage?: GPUBufferUsageFlags, pooled = false): Block {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const limit = this.gpu.limits.maxBufferSize;
    if (bytes > limit)
      throw new RangeError(
        `${label}: needs a buffer of ${bytes} bytes, got an adapter whose largest buffer is ${limit}. ${SMALLER}`,
      );
    const buffer = this.#checked(bytes, label, () =>
      this.gpu.createBuffer({ size: bytes, label, usage: usage ?? STORAGE | COPY_SRC | COPY_DST }),
    );
    const block: Block = { id: this.nextId(), buffer, bytes, pooled, version: 0 };
    this.#live.add(block);
    return block;
  }

  textureBytes(height: number, format: TextureBlock["format"]): number {
    return TEXTURE_WIDTH * height * (format === "rgba16float" ? 8 : 16);
  }

  createTexture(height: number, format: TextureBlock["format"]): TextureBlock {
    const bytes = this.textureBytes(height, format);
    const label = `copy ${format} ${TEXTURE_WIDTH}x${height}`;
    const { TEXTURE_BINDING, COPY_DST } = GPUTextureUsage;
    const texture = this.#checked(bytes, label, () =>
      this.gpu.createTexture({ size: [TEXTURE_WIDTH, height], format, label, usage: TEXTURE_BINDING | COPY_DST }),
    );
    const block: TextureBlock = { id: this.nextId(), texture, view: texture.createView(), format, height, bytes };
    this.#textures.add(block);
    return block;
  }

  /** Allocates, counts, and reports later if it did not work. */
  #checked<T>(bytes: number, label: string, allocate: () => T): T {
    this.gpu.pushErrorScope("out-of-memory");
    const made = allocate();
    const check: Promise<void> = this.gpu
      .popErrorScope()
      .then((error) => {
        if (error) this.onError(new OutOfMemoryError(bytes, this.#bytes, label));
      })
      .catch(() => undefined) // a lost device rejects here; the device reports that itself
      .finally(() => this.#checks.delete(check));
    this.#checks.add(check);
    this.#bytes += bytes;
    this.#peak = Math.max(this.#peak, this.#bytes);
    return made;
  }

  /** Resolves when every allocation so far is known to have worked (or its error has been reported). */
  async settled(): Promise<void> {
    while (this.#checks.size > 0) await Promise.all(this.#checks);
  }

  /** Gives a pooled block back. Later commands may reuse it: the queue runs in order. */
  recycle(block: Block): void {
    const list = this.#free.get(block.bytes);
    if (list) list.push(block);
    else this.#free.set(block.bytes, [block]);
  }

  destroy(block: Block): void {
    if (!this.#live.delete(block)) return;
    this.#bytes -= block.bytes;
    block.buffer.destroy();
  }

  destroyTexture(block: TextureBlock): void {
    if (!this.#textures.delete(block)) return;
    this.#bytes -= block.bytes;
    block.texture.destroy();
  }

  /** Takes every waiting block out of the pool; the caller destroys them once no pending command uses them. */
  drainPool(): Block[] {
    const blocks = [...this.#free.values()].flat();
    this.#free.clear();
    return blocks;
  }

  destroyAll(): void {
    this.#free.clear();
    for (const block of [...this.#live]) this.destroy(block);
    for (const block of [...this.#textures]) this.destroyTexture(block);
  }

  get use(): MemoryUse {
    const pooled = [...this.#free.values()].flat();
    return {
      buffers: this.#live.size,
      bytes: this.#bytes,
      pooledBuffers: pooled.length,
      pooledBytes: pooled.reduce((sum, block) => sum + block.bytes, 0),
      textureBytes: [...this.#textures].reduce((sum, block) => sum + block.bytes, 0),
      peakBytes: this.#peak,
    };
  }
}
