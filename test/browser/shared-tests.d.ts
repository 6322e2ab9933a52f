// Made by test/browser/bundle.ts: every shared test file (its path in the repository) and its import.
declare module "shared-tests" {
  export const files: [path: string, load: () => Promise<unknown>][];
}
