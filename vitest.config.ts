import { defineConfig } from "vitest/config";

// One file at a time, so that two never compete for the software adapter's cores, and a process for each: one process for
// all of them (hundreds of devices, pipelines and children) once died in native code after six minutes.
export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    isolate: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // What somebody has tuned on this machine must not choose the kernels that are tested.
    env: { WEBGPU_DIFFUSERS_TUNINGS: "off" },
    projects: [
      { extends: true, test: { name: "all", include: ["test/**/*.test.ts"] } },
      // llvmpipe has shader-f16, but halves are read as words there: this is for the GPUs.
      {
        extends: true,
        test: {
          name: "native halves",
          include: ["test/kernels/*.test.ts"],
          exclude: ["**/*.node.test.ts"],
          env: { WEBGPU_DIFFUSERS_TEST_HALVES: "native" },
        },
      },
    ],
    reporters: ["default", "./test/support/reporter.ts"],
  },
});
