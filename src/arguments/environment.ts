/** Whether this is Node, where devices and caches come by other ways than in a browser. */
export const inNode = (): boolean => typeof process !== "undefined" && Boolean(process.versions?.node);

/** The browser's Cache API. There is none outside of https: and localhost; a frame without an origin may not even ask. */
export function ownCaches(): CacheStorage | undefined {
  try {
    return globalThis.caches;
  } catch {
    return undefined;
  }
}
