import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveFolder } from "../../src/loader/save_folder_node.js";

let root = "";
let script = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "save-folder-"));
  const module = join(root, "save_folder.mjs");
  const source = fileURLToPath(new URL("../../src/loader/save_folder_node.ts", import.meta.url));
  await build({ entryPoints: [source], outfile: module, bundle: true, platform: "node", format: "esm" });
  script = join(root, "child.mjs");
  await writeFile(
    script,
    `import { saveFolder } from ${JSON.stringify(pathToFileURL(module).href)};
const [folder, version] = process.argv.slice(2);
console.log("start");
await saveFolder(folder, async (target) => {
  for (const name of ["a", "sub/b", "c"])
    await target.write(name, Array.from({ length: 64 }, () => new Uint8Array(65536).fill(Number(version))));
  await target.remove("old");
});
console.log("end");`,
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Saves in another process, which is killed after `delay` ms; true if it came to its end. */
async function saveInChild(folder: string, version: number, delay: number): Promise<boolean> {
  const child = spawn(process.execPath, [script, folder, String(version)]);
  let output = "";
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on("data", (data: Buffer) => {
    output += data.toString();
    timer ??= setTimeout(() => child.kill("SIGKILL"), delay);
  });
  await new Promise((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  return output.includes("end");
}

/** The version of a file that is there; every byte of it. */
async function version(path: string): Promise<number | null> {
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null) return null;
  expect(bytes.length).toBe(64 * 65536);
  expect(bytes.every((byte) => byte === bytes[0])).toBe(true);
  return bytes[0];
}

describe("saveFolder", () => {
  test("killed at any time, a new folder is absent or complete", async () => {
    let killed = 0;
    for (let i = 0; i < 12; i++) {
      const folder = join(root, `new-${i}`);
      const ended = await saveInChild(folder, 1, 3 * i);
      if (!ended) killed++;
      const there = await stat(folder).catch(() => null);
      if (ended) expect(there).not.toBeNull();
      if (there) for (const name of ["a", "sub/b", "c"]) expect(await version(join(folder, name))).toBe(1);
    }
    expect(killed).toBeGreaterThan(0);
  });

  test("killed at any time, files in a folder that exists are whole, and the next save completes", async () => {
    const folder = join(root, "present");
    await mkdir(folder);
    await writeFile(join(folder, "old"), "");
    for (let i = 1; i <= 12; i++) {
      await saveInChild(folder, i, 3 * i);
      for (const name of ["a", "sub/b", "c"]) expect([null, ...range(i)]).toContain(await version(join(folder, name)));
    }
    expect(await saveInChild(folder, 99, 60_000)).toBe(true);
    for (const name of ["a", "sub/b", "c"]) expect(await version(join(folder, name))).toBe(99);
    expect((await readdir(folder)).filter((name) => !name.startsWith("."))).toEqual(["a", "c", "sub"]);
  });
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

  test("of saves at once into a new folder the later one finds it there", async () => {
    const folder = join(root, "at-once");
    const save = (version: number, ...names: string[]): Promise<void> =>
      saveFolder(folder, async (target) => {
        for (const name of names) await target.write(name, [new Uint8Array(65_536).fill(version)]);
        await new Promise((resolve) => setTimeout(resolve, 50)); // so that neither has its name yet
      });
    await Promise.all([save(1, "a", "sub/b"), save(2, "a", "c"), save(3, "a", "sub/d")]);
    expect((await readdir(folder)).sort()).toEqual(["a", "c", "sub"]);
    expect((await readdir(join(folder, "sub"))).sort()).toEqual(["b", "d"]);
    expect((await readdir(root)).filter((name) => name.startsWith(".at-once"))).toEqual([]);
  });

  test("what killed saves left is removed after a day, and nothing else", async () => {
    const folder = join(root, "leftovers");
    const id = "01234567-89ab-cdef-0123-456789abcdef";
    const names = [`.leftovers.${id}.tmp`, `.leftovers.${id.replace("0", "f")}.tmp`, ".leftovers.tmp", ".other"];
    for (const name of names) await mkdir(join(folder, name), { recursive: true });
    const yesterday = new Date(Date.now() - 25 * 3_600_000);
    for (const name of [names[0], names[2], names[3]]) await utimes(join(folder, name), yesterday, yesterday);
    await saveFolder(folder, (target) => target.write("a", [new Uint8Array(1)]));
    expect((await readdir(folder)).sort()).toEqual([...names.slice(1), "a"].sort());
  });

  test("paths that leave the folder are refused, and a folder that cannot be written is named", async () => {
    const folder = join(root, "paths");
    for (const path of ["../x", "/x", "a\\b", ""])
      await expect(saveFolder(folder, (target) => target.write(path, []))).rejects.toThrow(/repository path/);
    expect(await stat(folder).catch(() => null)).toBeNull();
    await writeFile(join(root, "plain"), "");
    const inside = join(root, "plain", "folder");
    await expect(saveFolder(inside, (target) => target.write("a", []))).rejects.toThrow(/cannot be written/);
  });
});
