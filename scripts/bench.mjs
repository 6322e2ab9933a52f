// `npm run bench`: bundles bench/ with the library's sources beside it and runs it. Benchmarks are no part of dist.
import { runBundled } from "./run_bundled.mjs";

await runBundled("bench/main.ts", "bench.mjs");
