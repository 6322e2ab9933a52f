import { readFile } from "node:fs/promises";

/** The bytes of a file, in an array of their own. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(path));
}
