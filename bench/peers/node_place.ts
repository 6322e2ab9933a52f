/** All libraries in Node, on Dawn. */
import { releaseNodeGPU, requestNodeGPU } from "../../src/tensor/gpu_node.js";
import { comparePeers } from "./compare.js";
import type { Place } from "./main.js";
import { actAsBrowser } from "./node_as_browser.js";
import { begunOf, sourcesOf } from "./sources.js";

export const inNode: Place = async ({ versions, ...given }, begin, emit) => {
  const gpu = await requestNodeGPU();
  actAsBrowser(gpu);
  try {
    await comparePeers(sourcesOf(gpu, versions), { ...given, begin: (...all) => begin(begunOf(...all)), emit });
  } finally {
    releaseNodeGPU();
  }
};
