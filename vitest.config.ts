import { defineConfig } from "vitest/config";

// One file at a time, so that two never compete for the software adapter's cores, and a process for each: one process for
// all of them (hundreds of devices, pipelines and children) once died in native code after six minutes.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    isolate: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default", "./test/support/reporter.ts"],
  },
});
