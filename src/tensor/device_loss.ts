import { DeviceLostError } from "./errors.js";

/**
 * The end of a device, for those who wait for its work: of the promises of WebGPU only `mapAsync` rejects then. (Promise.race() with
 * one promise that lives as long as the device would keep a reaction for each wait until then.)
 */
export class DeviceLoss {
  #error: DeviceLostError | null = null;
  readonly #waiting = new Set<(error: DeviceLostError) => void>();

  /** @param onLoss called before anybody who waits hears of it */
  constructor(lost: Promise<GPUDeviceLostInfo>, onLoss: (error: DeviceLostError) => void) {
    void lost.then(({ reason, message }) => {
      this.#error = new DeviceLostError(reason, message);
      onLoss(this.#error);
      for (const reject of this.#waiting) reject(this.#error);
      this.#waiting.clear();
    });
  }

  /** What `work` comes to, or a rejection as soon as the device is lost. */
  async before<T>(work: Promise<T>): Promise<T> {
    let waiting: ((error: DeviceLostError) => void) | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        work.then(resolve, reject);
        if (this.#error) reject(this.#error);
        else this.#waiting.add((waiting = reject));
      });
    } finally {
      if (waiting) this.#waiting.delete(waiting);
    }
  }
}
