/** Abort signals of repositories: of those that were opened before, of folders, of several callers. */
import { onAbort } from "../arguments/signal.js";
import type { Repository } from "./repository.js";

/** Aborts when one of the two does. */
export function eitherSignal(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  if (!a || !b || a === b) return a ?? b;
  return AbortSignal.any([a, b]);
}

/**
 * The same repository under one more signal. When it aborts, calls reject with its reason, in every kind of repository, and
 * what they fetch stops, where the repository knows signals.
 */
export function withSignal(repository: Repository, signal: AbortSignal): Repository {
  const both = (other: AbortSignal | undefined): { signal: AbortSignal } => {
    const either = eitherSignal(signal, other) ?? signal;
    either.throwIfAborted();
    return { signal: either };
  };
  return {
    name: repository.name,
    isLocal: repository.isLocal,
    open: async (path, options) => repository.open(path, both(options?.signal)),
    has: repository.has && (async (path, options) => (await repository.has?.(path, both(options?.signal))) ?? false),
    whyMissing: (path) => repository.whyMissing?.(path),
  };
}

/** Waits, but not when aborted: then it rejects with the signal's reason. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) return stop();
    promise.then(resolve, reject).finally(onAbort(signal, stop));
  });
}
