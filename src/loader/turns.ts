import { onAbort } from "../arguments/signal.js";

/** Lets so many run at once; the others wait in line. */
export class Turns {
  readonly #most: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Runs `work` when fewer than the allowed number of others run. Rejects with the signal's reason when it aborts before that. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running < this.#most) this.#running++;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    const waiting = this.#waiting;
    return new Promise((resolve, reject) => {
      const forget = onAbort(signal, () => {
        waiting.splice(waiting.indexOf(start), 1);
        reject(signal?.reason as Error);
      });
      const start = (): void => {
        forget();
        resolve();
      };
      waiting.push(start);
    });
  }
}
