/** A weight in the CPU's memory, as it was in the GPU's: nothing is converted on the way. */
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";

/** Bytes that are moved at a time. A multiple of 4, as copies and writes have it. */
const PIECE = 8 << 20;

export class HostCopy {
  private constructor(
    private readonly origin: Tensor,
    /** None for a device that has no numbers, see blankDevice(). */
    private readonly pieces: readonly ArrayBuffer[],
  ) {}

  /** Where it was. */
  get device(): Device {
    return this.origin.device;
  }

  /** Reads a tensor. It is not disposed. */
  static async of(tensor: Tensor): Promise<HostCopy> {
    const { device, block, bytes } = tensor;
    const pieces: ArrayBuffer[] = [];
    if (!device.isBlank)
      for (let from = 0; from < bytes; from += PIECE)
        pieces.push(await device.readBytes(block, Math.min(PIECE, bytes - from), from));
    return new HostCopy(tensor, pieces);
  }

  /** The same tensor once more, on its device. */
  async upload(): Promise<Tensor> {
    const { device, shape, dtype } = this.origin;
    const tensor = device.keep(Tensor.empty(device, shape, dtype, { persistent: true, label: "weight" }));
    try {
      for (const [i, piece] of this.pieces.entries()) {
        device.queue.push({ kind: "write", block: tensor.block, offset: i * PIECE, data: new Uint8Array(piece) });
        // Before the next piece, or pieces would pile up in memory.
        await device.flush();
      }
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }
}
