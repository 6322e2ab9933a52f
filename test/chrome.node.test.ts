// Every shared test once more, in headless Chrome with SwiftShader; each counts as a test of its own.
// The run is over before the tests are registered: vitest must know their names, and only the page knows those.
import { describe, expect, test } from "vitest";
import { runInChrome } from "./chrome/run_page.js";

const results = await runInChrome();

describe("in Chrome", () => {
  test("there are results", () => expect(results.length).toBeGreaterThan(0));
  for (const { name, state, text, milliseconds } of results)
    test(`${name} (${Math.round(milliseconds)} ms)`, (context) => {
      if (state === "skipped") context.skip(text);
      if (state === "failed") throw Object.assign(new Error(`in Chrome: ${text}`), { stack: "" }); // the page's is inside
    });
});
