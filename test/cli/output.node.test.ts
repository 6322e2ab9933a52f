import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkWritable, outputFiles } from "../../src/cli/output.js";

describe("whether files can be written", () => {
  let folder: string;
  const inFolder = (...names: string[]): string => path.join(folder, ...names);
  beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-output-"))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("Ctrl-C is heard before all are looked at", async () => {
    const interrupt = new AbortController();
    const checked = checkWritable(outputFiles(inFolder("many.png"), 100_000), interrupt.signal);
    setTimeout(() => interrupt.abort(new Error("interrupted")), 20);
    await expect(checked).rejects.toThrow("interrupted");
  });

  test("a link counts as where it points to, through further links and folders that are links; nothing is made", async () => {
    await mkdir(inFolder("one", "two"), { recursive: true });
    await symlink(inFolder("one", "two"), inFolder("short"), "junction");
    await symlink("../new.png", inFolder("one", "two", "up.png")); // one/new.png, also for who comes by "short"
    await symlink(inFolder("short", "up.png"), inFolder("good.png"));
    await symlink(inFolder("one", "nosuch", "new.png"), inFolder("one", "new.png"));
    const before = (await readdir(folder, { recursive: true })).sort();
    await expect(checkWritable([inFolder("good.png")])).rejects.toThrow(
      `good.png: cannot be written: there is no folder ${inFolder("one", "nosuch")}`,
    );
    await mkdir(inFolder("one", "nosuch"));
    await checkWritable([inFolder("good.png")]);
    await rm(inFolder("one", "nosuch"), { recursive: true });
    expect((await readdir(folder, { recursive: true })).sort()).toEqual(before);
  });
});
