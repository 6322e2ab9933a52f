import { defineConfig } from "vitest/config";
import { BUILT, builtLibrary } from "./test/support/built_library.js";
import ChromeFirst from "./test/support/sequencer.js";

// Under `npm test`, which builds the library; a part of the tests by `npx vitest` is of the sources as they are.
const isBuilt = process.env.npm_lifecycle_event === "test";

// Two files at a time: most of a file's time is lavapipe's compiling, on one core. A process for each: one for all of them
// (hundreds of devices, pipelines and children) once died in native code after six minutes.
export default defineConfig({
  plugins: isBuilt ? [builtLibrary()] : [],
  test: {
    server: { deps: { external: isBuilt ? [BUILT] : [] } },
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: ChromeFirst },
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
