/** The file system, for Node only. */
export { writeFile } from "node:fs/promises";
