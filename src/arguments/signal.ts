import { shown } from "./shown.js";

/** @throws the signal's reason where it is aborted; TypeError for what is no signal, the controller of one perhaps */
export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal == null) return;
  if (typeof signal.throwIfAborted === "function") return signal.throwIfAborted();
  throw new TypeError(`signal must be an AbortSignal, of an AbortController its .signal, got ${shown(signal)}`);
}

/** Who waits for a signal, and its one listener for all of them: Node takes more than ten for a leak, and says so. */
const waiting = new WeakMap<AbortSignal, { stops: Set<() => void>; listener: () => void }>();

/**
 * Calls `stop` once when the signal is aborted.
 * @returns a function that ends this
 */
export function onAbort(signal: AbortSignal | null | undefined, stop: () => void): () => void {
  if (!signal) return () => undefined;
  let entry = waiting.get(signal);
  if (!entry) {
    const stops = new Set<() => void>();
    const listener = (): void => stops.forEach((each) => each());
    waiting.set(signal, (entry = { stops, listener }));
    signal.addEventListener("abort", listener, { once: true });
  }
  const { stops, listener } = entry;
  const own = (): void => stop(); // a function of its own, so that the same one may wait twice
  stops.add(own);
  return () => {
    if (!stops.delete(own) || stops.size > 0) return;
    signal.removeEventListener("abort", listener);
    waiting.delete(signal);
  };
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
  const forget = onAbort(signal, () => controller.abort(signal?.reason));
  try {
    return await work(controller);
  } finally {
    forget();
  }
}
