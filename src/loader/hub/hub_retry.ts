import { onAbort } from "../../arguments/signal.js";
import { HubError } from "./hub_errors.js";

/** Time, replaceable in tests. */
export interface Clock {
  now(): number;
  /** Rejects with the signal's reason when it aborts. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /** Milliseconds of silence after which an exchange has failed. */
  timeout: number;
}

/** A server that asks for a longer pause than this gets no further try. */
const LONGEST_PAUSE = 120_000;
const FIRST_PAUSE = 1000;

export const TRIES = 5;

export const systemClock: Clock = {
  now: Date.now,
  timeout: 10_000,
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const forget = onAbort(signal, () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      });
      const timer = setTimeout(() => {
        forget();
        resolve();
      }, milliseconds);
    }),
};

/**
 * Runs `attempt` until it succeeds, pausing 1, 2, 4, 8 s, or as long as the server says, between tries.
 *
 * @param attempt may call `progressed()`, after which the count of tries begins anew
 * @throws the last fault, with the number of tries; at once, a fault that will not pass
 */
export async function withRetries<T>(
  attempt: (progressed: () => void) => Promise<T>,
  { clock, signal, tries = TRIES }: { clock: Clock; signal?: AbortSignal; tries?: number },
): Promise<T> {
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt(() => (failures = 0));
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof HubError) || !error.passing) throw error;
      failures++;
      const { code, retryAfter } = error;
      const pause = retryAfter ?? FIRST_PAUSE * 2 ** (failures - 1);
      if (pause > LONGEST_PAUSE)
        throw new HubError(`${error.message}; it asks to wait ${Math.ceil(pause / 1000)} s; try again then`, {
          passing: true,
          retryAfter,
          code,
          cause: error,
        });
      if (failures >= tries)
        throw new HubError(`${error.message} (${tries} ${tries === 1 ? "try" : "tries"}); try again later`, {
          passing: true,
          code,
          cause: error,
        });
      await clock.sleep(pause, signal);
    }
  }
}
