import { defineConfig } from "vitest/config";

// One process for all files: it keeps one GPU device, so that every shader is compiled once, and two test files never
// compete for the software adapter's cores. `isolate: false` keeps the library's modules, and with them the device.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    isolate: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default", "./test/support/reporter.ts"],
  },
});
