import type { Reporter, SerializedError, TestModule, TestSuite } from "vitest/node";

/**
 * Ends the output with the plain line `N passed, N failed` (`, N skipped` where there are any), which any CI can count.
 * A file or a suite that fails outside its tests, an unhandled error and a test that never came to run count as failed.
 */
export default class CountingReporter implements Reporter {
  #counts = { passed: 0, failed: 0, skipped: 0 };

  onInit(): void {
    // In the exit handler nothing of vitest can print after it, and the exit code is known.
    process.once("exit", (code) => {
      const { passed, failed, skipped } = this.#counts;
      const failures = code === 0 ? failed : Math.max(failed, 1);
      if (failures > 0) process.exitCode ||= 1;
      process.stdout.write(`\n${passed} passed, ${failures} failed${skipped ? `, ${skipped} skipped` : ""}\n`);
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      counts.failed += ownErrors(module);
      for (const suite of module.children.allSuites()) counts.failed += ownErrors(suite);
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state === "pending" ? "failed" : state]++;
      }
    }
    this.#counts = counts;
  }
}

/** 1 when the file or suite failed by itself, as in an import or a beforeAll; else 0. */
function ownErrors(part: TestModule | TestSuite): number {
  return part.errors().length > 0 ? 1 : 0;
}
