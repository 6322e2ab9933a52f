import { RepositoryError } from "./errors.js";
import type { RepositoryFile } from "./repository.js";

/** Whether a file is one by its name. */
export const isPickle = (path: string): boolean => PICKLE.test(path);

const PICKLE = /\.(?:bin|ckpt|pth?|pkl|pickle)$/i;

/**
 * Stands for a file of the hub that is never read, so that it is not downloaded either: pickles, which can run code. null
 * for other files.
 */
export function unreadPickle(path: string, where: string, size: number): RepositoryFile | null {
  if (!isPickle(path)) return null;
  const refuse = async (): Promise<never> => {
    throw new RepositoryError(`${where}: is a pickle, which can run code and is not read; use the .safetensors files`);
  };
  return { path: where, size, read: refuse };
}
