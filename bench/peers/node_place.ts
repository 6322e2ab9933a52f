/** All libraries in Node, on Dawn. */
import path from "node:path";
import { releaseNodeGPU, requestNodeGPU } from "../../src/tensor/gpu_node.js";
import { comparePeers } from "./compare.js";
import type { Place } from "./main.js";
import { openTinygrad } from "./tinygrad/library.js";
import { actAsBrowser } from "./node_as_browser.js";
import { chosen } from "./library.js";
import { begunOf, sourcesOf } from "./sources.js";

const WORKER = "bench/peers/tinygrad/worker.py";

export const inNode: Place = async ({ versions, only, tinygrad, root, ...given }, begin, emit) => {
  const gpu = await requestNodeGPU();
  actAsBrowser(gpu);
  try {
    const sources = chosen(sourcesOf(gpu, versions), only);
    if (tinygrad !== undefined)
      sources.push({ name: "tinygrad", open: () => openTinygrad(tinygrad, path.join(root, WORKER)) });
    await comparePeers(sources, { ...given, begin: (...all) => begin(begunOf(...all)), emit });
  } finally {
    releaseNodeGPU();
  }
};
