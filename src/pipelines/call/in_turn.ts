/** Calls that change the same objects take turns: a scheduler counts its steps, a pipeline holds the guidance of its call. */
import { Turns } from "../../loader/turns.js";

const turns = new WeakMap<object, Turns>();

function turnsOf(object: object): Turns {
  let own = turns.get(object);
  if (!own) turns.set(object, (own = new Turns(1)));
  return own;
}

/**
 * Runs `work` when all calls before it that named one of `objects` are done, however they ended.
 * @param objects are waited for in their order, which must be the same everywhere: a pipeline, then its scheduler
 * @throws the signal's reason where it is aborted while waiting; what `work` throws
 */
export async function inTurn<T>(
  [first, ...rest]: readonly object[],
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return turnsOf(first).run(() => (rest.length > 0 ? inTurn(rest, signal, work) : work()), signal);
}
