import { mkdtemp, mkdir, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addressesIn } from "../../src/loader/addressed_folder.js";
import { readClassConfig } from "../../src/loader/class_config.js";
import { EMBEDDED_MODEL } from "../../src/loader/embedded.js";
import { openRepository } from "../../src/loader/repository.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "repository-"));
  await mkdir(join(folder, "unet"));
  await writeFile(join(folder, "unet", "config.json"), "{}");
  await writeFile(join(folder, "blob"), "0123456789");
});
afterAll(() => rm(folder, { recursive: true }));

test("a folder that exists wins over an id, a URL means the same", async () => {
  expect((await openRepository("test/fixtures")).name).toBe("test/fixtures");
  const repository = await openRepository(pathToFileURL(folder));
  expect((await repository.open("unet/config.json"))?.size).toBe(2);
  expect((await openRepository(pathToFileURL(folder).href)).name).toBe(folder);
});

test("the list of the embedded model's files is that of its folder", async () => {
  const root = new URL(EMBEDDED_MODEL);
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const paths = files.map((file) => relative(fileURLToPath(root), file).split(sep).join("/"));
  const known = Object.entries(addressesIn(EMBEDDED_MODEL)!);
  expect(paths.sort()).toEqual(known.map(([path]) => path).sort());
  for (const [path, address] of known) expect(address().href).toBe(EMBEDDED_MODEL + path);
});

test("links are followed: the hub's cache is made of them", async () => {
  await symlink("../blob", join(folder, "unet", "model.safetensors"));
  const file = await (await openRepository(folder)).open("unet/model.safetensors");
  expect(new TextDecoder().decode(await file?.read(2, 5))).toBe("234");
  const into = new Uint8Array(8);
  expect((await file!.read(2, 5, into)).buffer).toBe(into.buffer);
  expect(new TextDecoder().decode(into)).toBe("234\0\0\0\0\0");
  await symlink("nowhere", join(folder, "dangling"));
  expect(await (await openRepository(folder)).open("dangling")).toBeNull();
});

test("the config of a class is found in its subfolder, at the root, or is the file that is given", async () => {
  const read = (source: string | URL, subfolder?: string): Promise<Record<string, unknown>> =>
    readClassConfig("Model.loadConfig", "config.json", source, { subfolder });
  const at = join(folder, "configs");
  await mkdir(join(at, "unet"), { recursive: true });
  await writeFile(join(at, "unet", "config.json"), '{"at": "unet"}');
  await expect(read(at)).rejects.toThrow(`Model.loadConfig: ${at} has no config.json; does it lie in a subfolder?`);
  await expect(read(at, "vae")).rejects.toThrow(`${at} has neither vae/config.json nor config.json`);
  await writeFile(join(at, "config.json"), '{"at": "root"}');
  expect([await read(at), await read(at, "unet/"), await read(at, "vae")]).toEqual([
    { at: "root" },
    { at: "unet" },
    { at: "root" },
  ]);
  const file = join(at, "unet", "config.json");
  for (const source of [file, pathToFileURL(file), pathToFileURL(file).href])
    expect(await read(source, "vae")).toEqual({ at: "unet" });
});

test("what is no folder or no file is named", async () => {
  await expect(openRepository(join(folder, "blob"))).rejects.toThrow(/is a file; give the folder that it is in/);
  await expect(openRepository(join(folder, "nothing"))).rejects.toThrow(/no such folder$/);
  await expect(openRepository(pathToFileURL(join(folder, "nothing")))).rejects.toThrow(/no such folder$/);
  await expect((await openRepository(folder)).open("unet")).rejects.toThrow(/is not a file/);
});

test("a file that shrinks or vanishes after it was opened is noticed", async () => {
  const path = join(folder, "shrinking");
  await writeFile(path, "0123456789");
  const file = await (await openRepository(folder)).open("shrinking");
  await truncate(path, 4);
  await expect(file!.read()).rejects.toThrow(/ended at byte 4, though it had 10 bytes/);
  await rm(path);
  await expect(file!.read()).rejects.toThrow(/shrinking: cannot be read: ENOENT/);
});
