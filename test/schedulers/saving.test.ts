import { describe, expect, test } from "vitest";
import type { Repository } from "../../src/loader/repository.js";
import {
  findFlaxScheduler,
  flaxSchedulerNames,
  PNDMScheduler,
  schedulerClass,
  schedulerNames,
} from "../../src/schedulers/index.js";
import { memoryFile } from "../support/goldens.js";
import { keptFiles, type KeptFiles } from "../support/kept_files.js";

/** What was kept, as something to load from. */
const repositoryOf = ({ name, files }: KeptFiles): Repository => ({
  name,
  open: (path) => Promise.resolve(files.has(path) ? memoryFile(new TextEncoder().encode(files.get(path)), path) : null),
});

describe("savePretrained", () => {
  test("every class writes into an object of the caller's own, and is read from one", async () => {
    for (const name of schedulerNames()) {
      const target = keptFiles();
      const scheduler = schedulerClass(name).fromConfig({});
      await scheduler.savePretrained(target);
      expect([...target.files]).toEqual([["scheduler_config.json", scheduler.toJSONString()]]);
      expect(String(await schedulerClass(name).fromPretrained(repositoryOf(target)))).toBe(String(scheduler));
    }
    for (const name of flaxSchedulerNames()) {
      const target = keptFiles();
      const scheduler = findFlaxScheduler(name)!.fromConfig({});
      await scheduler.savePretrained(target);
      expect([...target.files]).toEqual([["scheduler_config.json", scheduler.toJSONString()]]);
    }
  });

  test("what is no target is refused, as models refuse it", async () => {
    const scheduler = new PNDMScheduler();
    await expect(scheduler.savePretrained("")).rejects.toThrow(
      /PNDMScheduler\.savePretrained: needs a folder, or an object with list, write and remove, got ""/,
    );
    await expect(scheduler.savePretrained({ name: "x" } as never)).rejects.toThrow(/got \{"name":"x"\}/);
    await expect(scheduler.savePretrained(undefined as never)).rejects.toThrow(/got undefined/);
  });
});
