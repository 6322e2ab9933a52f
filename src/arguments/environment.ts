/** Whether this is Node, where devices and caches come by other ways than in a browser. */
export const inNode = (): boolean => typeof process !== "undefined" && Boolean(process.versions?.node);
