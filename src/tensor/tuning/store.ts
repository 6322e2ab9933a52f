/** Where tunings are kept between processes and pages: a file of the user's cache in Node, the Cache API in browsers. */
import { adapterName } from "../adapter_kind.js";
import type { Device } from "../device.js";
import { inNode, ownCaches } from "../../arguments/environment.js";
import type { KeptWays, Tunings } from "./tunings.js";

/** Changes when what is kept means something else. */
const FORMAT = 1;
const CACHE = "webgpu-diffusers-tunings";

interface Kept {
  format: number;
  adapter: string;
  ways: [key: string, way: object][];
}

/** What tells adapters apart: name and features, and in a browser its version. A way beyond a device's limits is none of its own. */
export type AdapterLike = Pick<Device, "features"> & { adapterInfo: GPUAdapterInfo };

export function adapterKey({ adapterInfo, features }: AdapterLike): string {
  const browser = /(?:Chrome|Firefox|Version)\/\d+/.exec(globalThis.navigator?.userAgent ?? "")?.[0] ?? "";
  return [adapterName(adapterInfo).trim(), browser, ...[...features].sort()].join(" ");
}

/** Of one adapter in this process; devices share what is found on one of them. */
const shared = new Map<string, Promise<KeptWays>>();

/** What was kept for an adapter; nothing where it cannot be read. */
export function keptWays(adapter: AdapterLike): Promise<KeptWays> {
  const key = adapterKey(adapter);
  let ways = shared.get(key);
  if (!ways) shared.set(key, (ways = readWays(key)));
  return ways;
}

/** What is stored for an adapter. */
export async function readWays(key: string): Promise<KeptWays> {
  try {
    const text = await (await place()).read(key);
    const kept = text === null ? null : (JSON.parse(text) as Kept);
    return new Map(kept?.format === FORMAT && kept.adapter === key ? (kept.ways as [string, object][]) : []);
  } catch (error) {
    console.warn(
      `webgpu-diffusers: what was tuned for ${key} cannot be read (${String(error)}); rules choose the kernels.`,
    );
    return new Map();
  }
}

/**
 * Keeps what was measured on a device for the next one of its adapter, beside what others keep there meanwhile: another process, another
 * page.
 * @returns where; null where there is no place
 */
export async function storeTunings(device: AdapterLike & { tunings: Tunings }): Promise<string | null> {
  const { kept, measured } = device.tunings;
  const ways = await readWays(adapterKey(device));
  for (const key of measured) {
    const way = kept.get(key);
    if (way) ways.set(key, way);
    else ways.delete(key);
  }
  return writeWays(device, ways);
}

/** Replaces what is stored for an adapter. @returns as `storeTunings` */
export async function writeWays(device: AdapterLike, ways: KeptWays): Promise<string | null> {
  const key = adapterKey(device);
  const kept: Kept = { format: FORMAT, adapter: key, ways: [...ways] };
  try {
    return await (await place()).write(key, `${JSON.stringify(kept, null, 1)}\n`);
  } catch (error) {
    console.warn(
      `webgpu-diffusers: what was tuned for ${key} cannot be kept (${String(error)}); it lasts until the end.`,
    );
    return null;
  }
}

/** A place for texts. */
export interface TuningsPlace {
  read(key: string): Promise<string | null>;
  /** @returns where it is */
  write(key: string, text: string): Promise<string | null>;
}

async function place(): Promise<TuningsPlace> {
  if (inNode()) return import("./store_node.js");
  const caches = ownCaches();
  if (!caches) return { read: () => Promise.resolve(null), write: () => Promise.resolve(null) };
  const address = (key: string): string => `https://${CACHE}.invalid/${encodeURIComponent(key)}`;
  return {
    async read(key) {
      // Where a page may keep nothing (private windows), it is refused; nobody has tuned there.
      const found = await caches.match(address(key), { cacheName: CACHE }).catch(() => undefined);
      return found ? found.text() : null;
    },
    async write(key, text) {
      await (await caches.open(CACHE)).put(address(key), new Response(text));
      return `the browser's cache ${CACHE}`;
    },
  };
}
