/** Calls that change the same objects take turns: a scheduler counts its steps, a pipeline holds the guidance of its call. */

import { untilAborted } from "../loader/signals.js";

/** When the last call that named an object is done. */
const ends = new WeakMap<object, Promise<unknown>>();

/**
 * Runs `work` when all calls before it that named one of `objects` are done, however they ended.
 * @throws the signal's reason where it is aborted while waiting; what `work` throws
 */
export async function inTurn<T>(
  objects: readonly object[],
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const before = Promise.all(objects.map((object) => ends.get(object)));
  let finish!: () => void;
  const own = new Promise<void>((resolve) => (finish = resolve));
  // Whoever comes next waits for those before, too, if this one gives up.
  const end = before.then(() => own);
  for (const object of objects) ends.set(object, end);
  try {
    await untilAborted(before, signal);
    return await work();
  } finally {
    finish();
  }
}
