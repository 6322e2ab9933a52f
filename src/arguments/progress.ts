/** Progress callbacks, which may be async: nobody waits for those, but what they reject with ends the work, as a throw does. */
import { checkFunction } from "./options.js";
import { whileItLasts } from "./signal.js";

type Callback<P> = (progress: P) => unknown;
type Report<P> = (progress: P) => void;

/** The callback as work calls it. @param fail is told what a promise of it rejects with */
export function reporter<P>(callback: Callback<P>, fail: (reason: unknown) => void): Report<P> {
  return (progress) => {
    const answer = callback(progress);
    if (typeof answer === "object" && answer !== null) void Promise.resolve(answer).then(undefined, fail);
  };
}

/**
 * Does some work that reports its progress, under a controller as that of `whileItLasts`, which a rejection of the callback
 * aborts. One that comes when the work is over is warned of.
 * @throws the signal's reason; TypeError for what is no function
 */
export function whileReporting<P, T>(
  { signal, progressCallback }: { signal?: AbortSignal; progressCallback?: Callback<P> },
  work: (controller: AbortController, report: Report<P> | undefined) => Promise<T>,
): Promise<T> {
  return whileItLasts(signal, async (controller) => {
    checkFunction("progressCallback", progressCallback);
    let isOver = false;
    let hasFailed = false;
    const fail = (reason: unknown): void => {
      if (isOver && !hasFailed) console.warn(`progressCallback rejected when all was done: ${String(reason)}`);
      hasFailed = true;
      controller.abort(reason);
    };
    try {
      return await work(controller, progressCallback && reporter(progressCallback, fail));
    } finally {
      isOver = true;
    }
  });
}
