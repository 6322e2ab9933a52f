import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Starts with Chrome's tests: one file that takes a third of the time, so that it is not left alone at the end. */
export default class ChromeFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification) => (file.moduleId.endsWith("/test/chrome.node.test.ts") ? 0 : 1);
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
