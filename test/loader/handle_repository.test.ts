import { afterAll, describe, expect, test } from "vitest";
import { CLIPTokenizer, openRepository } from "../../src/index.js";
import { readFixture } from "../support/files.js";

/** A folder in memory with the calls of a FileSystemDirectoryHandle that a repository needs, for Node. */
function memoryFolder(files: Record<string, Uint8Array<ArrayBuffer>>, name = "picked"): FileSystemDirectoryHandle {
  const missing = (): DOMException => new DOMException("nothing of that name", "NotFoundError");
  const handle = {
    kind: "directory",
    name,
    async getDirectoryHandle(part: string) {
      const inside = Object.entries(files).filter(([path]) => path.startsWith(`${part}/`));
      if (inside.length === 0) throw missing();
      return memoryFolder(
        Object.fromEntries(inside.map(([path, bytes]) => [path.slice(part.length + 1), bytes])),
        part,
      );
    },
    async getFileHandle(file: string) {
      if (!(file in files)) throw missing();
      return { getFile: async () => new Blob([files[file]]) };
    },
  };
  return handle as unknown as FileSystemDirectoryHandle;
}

const FOLDER = "webgpu-diffusers-test";
const inBrowser = typeof navigator !== "undefined" && typeof navigator.storage?.getDirectory === "function";

/** The origin private file system in Chrome, memory in Node. */
async function folderOf(files: Record<string, Uint8Array<ArrayBuffer>>): Promise<FileSystemDirectoryHandle> {
  if (!inBrowser) return memoryFolder(files);
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  for (const [path, bytes] of Object.entries(files)) {
    const parts = path.split("/");
    let folder = root;
    for (const part of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(part, { create: true });
    const writable = await (await folder.getFileHandle(parts[parts.length - 1], { create: true })).createWritable();
    await writable.write(bytes);
    await writable.close();
  }
  return root;
}

describe("a browser's directory handle", () => {
  afterAll(async () => {
    if (inBrowser) await (await navigator.storage.getDirectory()).removeEntry(FOLDER, { recursive: true });
  });

  test("is a repository", async () => {
    const names = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    const files: Record<string, Uint8Array<ArrayBuffer>> = {};
    for (const name of names) files[`tokenizer/${name}`] = await readFixture(`models/tokenizer/vocab-2000/${name}`);
    const folder = await folderOf(files);
    const tokenizer = await CLIPTokenizer.fromPretrained(folder, { subfolder: "tokenizer" });
    expect(tokenizer.encode("a cat").length).toBeGreaterThan(3);

    const repository = await openRepository(folder);
    const file = await repository.open("tokenizer/merges.txt");
    expect(await file?.read(10, 20)).toEqual(files["tokenizer/merges.txt"].slice(10, 20));
    await expect(file!.read(0, file!.size + 1)).rejects.toThrow("outside the file");
    expect(await repository.open("unet/config.json")).toBeNull();
    expect(await repository.open("tokenizer/nothing.json")).toBeNull();
    await expect(repository.open("../config.json")).rejects.toThrow('".."');
  });
});
