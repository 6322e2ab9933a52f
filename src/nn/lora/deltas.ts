/** What LoRAs add to weights, made when these are read from their files: up · down in float32, before they are rounded to their dtype. */
import { matmul } from "../../tensor/ops/matmul.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Share } from "./adapters.js";
import type { LoraFile } from "./file.js";
import { floats } from "./numbers.js";

/** Of one load: the files are read once, when the first of their numbers is wanted. */
export class Deltas {
  readonly #bytes = new Map<LoraFile, Promise<Uint8Array>>();

  constructor(
    private readonly shares: ReadonlyMap<string, readonly Share[]>,
    private readonly signal?: AbortSignal,
  ) {}

  has(key: string): boolean {
    return (this.shares.get(key)?.length ?? 0) > 0;
  }

  /**
   * @param weight [out, …] in float32, in the layout of files; not disposed
   * @returns weight + what is added to it, as [out, rest]; the caller disposes it
   */
  async addTo(key: string, weight: Tensor): Promise<Tensor> {
    const own = this.shares.get(key) ?? [];
    const bytes = await Promise.all(own.map(({ file }) => this.#read(file)));
    const [out] = weight.shape;
    const width = weight.size / out;
    const ranks = own.map(({ layer }) => layer.down.shape[0]);
    // All in one product; to whole quads, which the fast kernels want.
    const rank = 4 * Math.ceil(ranks.reduce((sum, n) => sum + n, 0) / 4);
    const ups = new Float32Array(out * rank);
    const downs = new Float32Array(rank * width);
    let at = 0;
    own.forEach(({ file, layer: { up, down }, scale }, i) => {
      const [a, b] = [up, down].map((entry) => floats(bytes[i].subarray(entry.start, entry.end), entry, file.path));
      for (let row = 0; row < out; row++)
        for (let column = 0; column < ranks[i]; column++)
          ups[row * rank + at + column] = a[row * ranks[i] + column] * scale;
      downs.set(b, at * width);
      at += ranks[i];
    });
    return added(weight, ups, downs, rank);
  }

  #read(file: LoraFile): Promise<Uint8Array> {
    if (!this.#bytes.has(file)) this.#bytes.set(file, file.read(this.signal));
    return this.#bytes.get(file)!;
  }
}

function added(weight: Tensor, ups: Float32Array, downs: Float32Array, rank: number): Tensor {
  const { device, size } = weight;
  const [out] = weight.shape;
  const width = size / out;
  return device.scope(() => {
    const up = Tensor.from(ups, [out, rank], { device });
    const down = Tensor.from(downs, [rank, width], { device });
    return matmul(up, down, { residual: weight.reshape([out, width]) });
  });
}
