import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Starts with Chrome's tests: one file that takes a third of the time, so that it is not left alone at the end. Nor is Firefox's, which
 * comes when Chrome's are about to end.
 */
export default class ChromeFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isOf = (browser: string) => (file: TestSpecification) =>
      file.moduleId.endsWith(`/test/${browser}.node.test.ts`);
    const sorted = await super.sort(files);
    const [chrome, firefox] = [sorted.filter(isOf("chrome")), sorted.filter(isOf("firefox"))];
    const others = sorted.filter((file) => !chrome.includes(file) && !firefox.includes(file));
    const late = Math.floor(0.6 * others.length);
    return [...chrome, ...others.slice(0, late), ...firefox, ...others.slice(late)];
  }
}
