import { describe, expect, test } from "vitest";
import type { Result } from "./vitest_stub.js";

/** Each result in a browser counts as a test of its own. */
export function asTests(browser: string, results: readonly Result[]): void {
  describe(`in ${browser}`, () => {
    test("there are results", () => expect(results.length).toBeGreaterThan(0));
    for (const { name, state, text, milliseconds } of results)
      test(`${name} (${Math.round(milliseconds)} ms)`, (context) => {
        if (state === "skipped") context.skip(text);
        // The page's stack is inside.
        if (state === "failed") throw Object.assign(new Error(`in ${browser}: ${text}`), { stack: "" });
      });
  });
}
