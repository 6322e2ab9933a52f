/** Where savePretrained() writes: a folder in Node, or an object of the caller's own (in browsers). */
import { inNode } from "../arguments/environment.js";
import { shown } from "../arguments/shown.js";
import { RepositoryError } from "./errors.js";

/** Takes whole files by their paths, parts joined by "/". What readers see while a save runs is the target's affair. */
export interface SaveTarget {
  /** For messages. */
  readonly name: string;
  /** Names of the files in a folder of the target ("" is its root); none if there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Writes a file, instead of what was there. The pieces come in order and must be taken before the next is asked for. */
  write(path: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
  /** Removes a file; called after everything is written. */
  remove(path: string): Promise<void>;
}

/**
 * Runs `work` on a target. For a folder, nothing appears under its final name before all of `work` has succeeded.
 * @param caller for messages, e.g. "AutoencoderKL.savePretrained"
 * @throws RepositoryError in a browser that is given a folder, or for a folder that cannot be written
 */
export async function saveInto(
  destination: string | SaveTarget,
  caller: string,
  work: (target: SaveTarget) => Promise<void>,
): Promise<void> {
  if (typeof destination === "object" && typeof destination?.write === "function") return work(destination);
  if (typeof destination !== "string" || destination === "")
    throw new RepositoryError(
      `${caller}: needs a folder, or an object with list, write and remove, got ${shown(destination)}`,
    );
  if (!inNode())
    throw new RepositoryError(
      `${caller}: a browser has no folders; instead of a path give an object { name, list, write, remove } (SaveTarget) ` +
        "that keeps the files, for example over a directory handle, or save in Node",
    );
  const { saveFolder } = await import("./save_folder_node.js");
  await saveFolder(destination, work);
}

/** `folder/name`, or `name` at the root. */
export const inFolder = (folder: string, name: string): string => (folder ? `${folder}/${name}` : name);

const encoder = new TextEncoder();

/** Writes a text file as UTF-8. */
export const saveText = (target: SaveTarget, path: string, text: string): Promise<void> =>
  target.write(path, [encoder.encode(text)]);
