import { shown } from "./shown.js";

/** @throws the signal's reason where it is aborted; TypeError for what is no signal, the controller of one perhaps */
export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal == null) return;
  if (typeof signal.throwIfAborted === "function") return signal.throwIfAborted();
  throw new TypeError(`signal must be an AbortSignal, of an AbortController its .signal, got ${shown(signal)}`);
}

/**
 * Does some work under a controller of its own, which the caller's signal aborts while the work lasts and not any more: what it has
 * opened is used later.
 * @throws the signal's reason where it is aborted already
 */
export async function whileItLasts<T>(
  signal: AbortSignal | null | undefined,
  work: (controller: AbortController) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await work(controller);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}
