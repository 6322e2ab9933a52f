import { existsSync } from "node:fs";
import { appendFile, rm } from "node:fs/promises";

/** To hear of a wrong folder before anything is measured, not after. Leaves no file that was not there. @throws the file system's Error */
export async function checkWritable(file: string): Promise<void> {
  const isNew = !existsSync(file);
  await appendFile(file, "");
  if (isNew) await rm(file);
}
