/** The file system, for Node only. */
export { readFile, writeFile } from "node:fs/promises";
