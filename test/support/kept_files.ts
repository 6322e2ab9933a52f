/** A target for savePretrained() that keeps what it is given, as a page would, and texts as something to load from. */
import type { Repository } from "../../src/loader/repository.js";
import type { SaveTarget } from "../../src/loader/save_target.js";
import { memoryFile } from "./goldens.js";

export interface KeptFiles extends SaveTarget {
  /** Texts by path. */
  readonly files: Map<string, string>;
}

export function keptFiles(): KeptFiles {
  const files = new Map<string, string>();
  return {
    files,
    name: "kept files",
    list: (folder) => Promise.resolve([...files.keys()].filter((path) => path.startsWith(folder ? `${folder}/` : ""))),
    async write(path, pieces) {
      const decoder = new TextDecoder();
      let text = "";
      for await (const piece of pieces) text += decoder.decode(piece, { stream: true });
      files.set(path, text + decoder.decode());
    },
    remove: (path) => Promise.resolve(void files.delete(path)),
  };
}

/** A repository of texts, by path. */
export const repositoryOf = (files: ReadonlyMap<string, string>): Repository => ({
  name: "kept files",
  open: (path) => Promise.resolve(files.has(path) ? memoryFile(new TextEncoder().encode(files.get(path)), path) : null),
});
