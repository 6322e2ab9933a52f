import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findFileSource } from "../../src/loader/file_source.js";
import { oneCommit, startFakeHub, type FakeHub } from "../support/fake_hub_node.js";

const BYTES = new TextEncoder().encode("the weights");
let hub: FakeHub;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-file-"));
  await writeFile(path.join(folder, "own.safetensors"), BYTES);
  hub = await startFakeHub([["owner/name", oneCommit(new Map([["Models/a b.safetensors", BYTES]]))]]);
});
afterAll(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

const read = async (source: string | URL, options = {}): Promise<string> => {
  const online = { endpoint: hub.url, cacheDir: path.join(folder, "hub"), token: false, localFilesOnly: false };
  const file = await (await findFileSource("test", source, { ...online, ...options })).open();
  const text = new TextDecoder().decode(await file.read());
  await file.close?.();
  return text;
};

test("a file is named by path, by file address, and by repository and name", async () => {
  const own = path.join(folder, "own.safetensors");
  expect(await read(own)).toBe("the weights");
  expect(await read(pathToFileURL(own))).toBe("the weights");
  expect(await read(folder, { weightName: "own.safetensors" })).toBe("the weights");
  expect(await read("owner/name", { subfolder: "Models", weightName: "a b.safetensors" })).toBe("the weights");
});

test("it is opened again when the signal of its search has fired, and under a new one", async () => {
  const own = path.join(folder, "own.safetensors");
  const stop = new AbortController();
  const { open } = await findFileSource("test", own, { signal: stop.signal });
  stop.abort();
  await (await open()).close?.();
  await expect(open(stop.signal)).rejects.toThrow("abort");
  await expect(findFileSource("test", own, { signal: stop.signal })).rejects.toThrow("abort");
});

test("its folder is that of an address, or the one that is given", async () => {
  const folderOf = async (source: string, options = {}): Promise<string> =>
    (await findFileSource("test", source, { endpoint: hub.url, ...options })).folder;
  expect(await folderOf("https://huggingface.co/owner/name/blob/main/Models/a%20b.safetensors")).toBe("Models");
  expect(await folderOf(path.join(folder, "own.safetensors"))).toBe("");
  expect(await folderOf("owner/name", { weightName: "Models/a b.safetensors" })).toBe("");
  expect(await folderOf("owner/name", { subfolder: "Models", weightName: "a b.safetensors" })).toBe("Models");
});

test("pages and downloads of the hub are its files, which are kept in the cache", async () => {
  for (const kind of ["blob", "resolve"])
    expect(await read(`https://huggingface.co/owner/name/${kind}/main/Models/a%20b.safetensors`)).toBe("the weights");
  expect(await read("https://hf.co/owner/name/blob/main/Models/a b.safetensors", { localFilesOnly: true })).toBe(
    "the weights",
  );
});

test("another address is a folder's, and a file in it", async () => {
  const seen: string[] = [];
  const fetch = async (url: string | URL | Request): Promise<Response> => {
    seen.push(String(url instanceof Request ? url.url : url));
    return new Response(null, { status: 404 });
  };
  await expect(read("https://example.org/files/a.safetensors", { fetch })).rejects.toThrow("a.safetensors");
  expect(seen[0]).toBe("https://example.org/files/a.safetensors");
});

test("a path without a file is none of an id on the hub", async () => {
  await expect(read("models/typo.safetensors")).rejects.toThrow('test: "models/typo.safetensors": no such file');
});

test("a repository without a name says what to give", async () => {
  await expect(read(folder)).rejects.toThrow('give the path or address of one, or { weightName: "….safetensors" }');
});
