// The page of test/loader/hub_chrome.node.test.ts, and its worker: what they load from a hub.
import { DiffusionPipeline, Generator, type StableDiffusionPipeline } from "../../src/index.js";
import { openRepository, type HubOptions } from "../../src/loader/repository.js";

declare global {
  var hubPage: typeof actions;
}

export interface Drawn {
  picture: number[];
  /** The files that were not in the cache when they were looked for. */
  missed: string[];
}

/** The hash of a file; null where there is none. */
async function load(id: string, file: string, options: HubOptions): Promise<string | null> {
  const opened = await (await openRepository(id, options)).open(file);
  if (!opened) return null;
  const digest = await crypto.subtle.digest("SHA-256", await opened.read());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function draw(id: string, endpoint: string): Promise<Drawn> {
  const missed: string[] = [];
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(id, {
    endpoint,
    progressCallback: ({ status, file }) => void (status === "download" && missed.push(file)),
  });
  const generator = new Generator("cpu").manualSeed(8);
  const { images } = await pipeline("a photograph of an astronaut", { numInferenceSteps: 2, generator });
  return { picture: Array.from(images[0].data), missed };
}

/** The same in a worker of this script. */
function drawInWorker(...given: Parameters<typeof draw>): Promise<Drawn> {
  const worker = new Worker(import.meta.url, { type: "module" });
  return new Promise<Drawn>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Drawn | string>) =>
      typeof data === "string" ? reject(new Error(data)) : resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(given);
  }).finally(() => worker.terminate());
}

const actions = { load, draw, drawInWorker };
globalThis.hubPage = actions;

if (typeof document === "undefined")
  globalThis.onmessage = ({ data }: MessageEvent<Parameters<typeof draw>>) =>
    void draw(...data)
      .catch((error: unknown) => `in the worker: ${String(error)}`)
      .then((answer) => postMessage(answer));
