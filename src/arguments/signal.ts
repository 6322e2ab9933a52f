import { shown } from "./shown.js";

/** @throws the signal's reason where it is aborted; TypeError for what is no signal, the controller of one perhaps */
export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal == null) return;
  if (typeof signal.throwIfAborted === "function") return signal.throwIfAborted();
  throw new TypeError(`signal must be an AbortSignal, of an AbortController its .signal, got ${shown(signal)}`);
}
