/** A folder that the user picked in a browser (showDirectoryPicker), or one of the origin private file system. */
import { RepositoryError } from "./errors.js";
import { checkPath, checkRange } from "./paths.js";
import type { Repository, RepositoryFile } from "./repository.js";

export const isDirectoryHandle = (source: unknown): source is FileSystemDirectoryHandle =>
  typeof source === "object" &&
  source !== null &&
  (source as FileSystemDirectoryHandle).kind === "directory" &&
  typeof (source as FileSystemDirectoryHandle).getFileHandle === "function";

export class HandleRepository implements Repository {
  readonly name: string;
  readonly isLocal = true;

  constructor(private readonly root: FileSystemDirectoryHandle) {
    this.name = root.name || "the picked folder";
  }

  async open(path: string): Promise<RepositoryFile | null> {
    const parts = checkPath(path).split("/");
    const fileName = parts.pop() as string;
    try {
      let folder = this.root;
      for (const part of parts) folder = await folder.getDirectoryHandle(part);
      const handle = await folder.getFileHandle(fileName);
      return new PickedFile(`${this.name}/${path}`, await handle.getFile());
    } catch (error) {
      // NotFoundError: nothing of that name; TypeMismatchError: a file where a folder is wanted, or the reverse.
      if (["NotFoundError", "TypeMismatchError"].includes((error as DOMException).name)) return null;
      const why = error instanceof Error ? error.message : String(error);
      throw new RepositoryError(`${this.name}/${path}: cannot be read: ${why}`, { cause: error });
    }
  }
}

class PickedFile implements RepositoryFile {
  constructor(
    readonly path: string,
    private readonly file: File,
  ) {}

  get size(): number {
    return this.file.size;
  }

  async read(start = 0, end = this.size): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.path, this.size, start, end);
    try {
      return new Uint8Array(await this.file.slice(start, end).arrayBuffer());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new RepositoryError(`${this.path}: cannot be read: ${why}; was it changed? Pick the folder again.`, {
        cause: error,
      });
    }
  }
}
