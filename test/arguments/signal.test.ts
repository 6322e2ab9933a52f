import { expect, test } from "vitest";
import { onAbort, whileItLasts } from "../../src/arguments/signal.js";

/** A signal's listeners as they come and go: Node warns of a leak from eleven on. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  for (const [name, by] of [
    ["addEventListener", 1],
    ["removeEventListener", -1],
  ] as const) {
    const original = signal[name].bind(signal);
    signal[name] = (...given: Parameters<AbortSignal["addEventListener"]>) => {
      count += by;
      original(...given);
    };
  }
  return { controller, listeners: () => count };
}

test("all who wait for a signal are one listener of it, and leave none behind", () => {
  const { controller, listeners } = counted();
  const heard: number[] = [];
  const stop = (): void => void heard.push(0);
  const ends = [stop, stop, () => heard.push(1), () => heard.push(2)].map((each) => onAbort(controller.signal, each));
  expect(listeners()).toBe(1);
  ends[0]();
  ends[0]();
  ends[2]();
  controller.abort();
  expect(heard).toEqual([0, 2]);
  for (const end of ends) end();
  expect([heard.length, listeners()]).toEqual([2, 0]);
  const again = onAbort(counted().controller.signal, stop);
  again();
  expect(onAbort(null, stop)()).toBe(undefined);
});

test("work under a signal hears of it while it lasts, whoever else waits", async () => {
  const { controller, listeners } = counted();
  const waits = Array.from({ length: 20 }, () =>
    whileItLasts(
      controller.signal,
      ({ signal }) => new Promise((_, reject) => void onAbort(signal, () => reject(signal.reason as Error))),
    ),
  );
  expect(listeners()).toBe(1);
  const done = await whileItLasts(controller.signal, ({ signal }) => Promise.resolve(signal));
  controller.abort(new Error("stop here"));
  for (const wait of waits) await expect(wait).rejects.toThrow("stop here");
  expect([done.aborted, listeners()]).toEqual([false, 0]);
});
