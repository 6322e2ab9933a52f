import { mkdtemp, readFile, readdir, rm, writeFile, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DDIMScheduler, EulerDiscreteScheduler, FlaxDDIMScheduler, PNDMScheduler } from "../../src/schedulers/index.js";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "schedulers-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const PNDM = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012, skip_prk_steps: true };

test("saved, loaded and saved again, a config stays the same; defaults are written out", async () => {
  const pndm = new PNDMScheduler(PNDM);
  const target = join(folder, "saved");
  await pndm.savePretrained(target);
  expect(await readdir(target)).toEqual(["scheduler_config.json"]);
  expect(await readFile(join(target, "scheduler_config.json"), "utf8")).toBe(pndm.toJsonString());
  const loaded = await PNDMScheduler.fromPretrained(target);
  expect(String(loaded)).toBe(String(pndm));
  // A live swap takes Euler's own spacing, a swap through a file PNDM's.
  expect(EulerDiscreteScheduler.fromConfig(pndm.config).config.timestep_spacing).toBe("linspace");
  expect((await EulerDiscreteScheduler.fromPretrained(target)).config.timestep_spacing).toBe("leading");
});

test("the config is looked for in the subfolder, then at the root; other options override it", async () => {
  const repository = join(folder, "repository");
  await mkdir(join(repository, "scheduler"), { recursive: true });
  await writeFile(join(repository, "scheduler_config.json"), '{"_class_name": "DDIMScheduler", "steps_offset": 1}');
  const root = await DDIMScheduler.fromPretrained(repository, { subfolder: "scheduler" });
  expect(root.config.steps_offset).toBe(1);
  await writeFile(join(repository, "scheduler", "scheduler_config.json"), '{"steps_offset": 2, "beta_end": 0.03}');
  const sub = await DDIMScheduler.fromPretrained(repository, { subfolder: "scheduler", beta_end: 0.04 });
  expect([sub.config.steps_offset, sub.config.beta_end]).toEqual([2, 0.04]);
});

test("the config's file itself is taken, whatever its name", async () => {
  const file = join(folder, "my ddim.json");
  await writeFile(file, '{"_class_name": "DDIMScheduler", "steps_offset": 3}');
  const options = { subfolder: "scheduler", beta_end: 0.04 };
  const made = await DDIMScheduler.fromPretrained(file, options);
  expect([made.config.steps_offset, made.config.beta_end]).toEqual([3, 0.04]);
  for (const source of [pathToFileURL(file), pathToFileURL(file).href, relative(".", file)])
    expect(await DDIMScheduler.loadConfig(source)).toEqual({ _class_name: "DDIMScheduler", steps_offset: 3 });
  const [flax] = await FlaxDDIMScheduler.fromPretrained(file, options);
  expect(flax.config.steps_offset).toBe(3);
  await writeFile(file, "{");
  await expect(DDIMScheduler.fromPretrained(file)).rejects.toThrow(/^my ddim\.json of .*: is no valid JSON/);
  await expect(DDIMScheduler.fromPretrained(join(folder, "no.json"))).rejects.toThrow(/no such folder/);
});

test("faults of files are named", async () => {
  const broken = join(folder, "broken");
  await mkdir(broken);
  await expect(DDIMScheduler.fromPretrained(broken)).rejects.toThrow(/has no scheduler_config\.json; does it lie/);
  await writeFile(join(broken, "scheduler_config.json"), '{"beta_start": 0.1,}');
  await expect(DDIMScheduler.fromPretrained(broken)).rejects.toThrow(/scheduler_config\.json.*line 1/);
  await writeFile(join(broken, "file"), "");
  await expect(new DDIMScheduler().savePretrained(join(broken, "file"))).rejects.toThrow(/is a file/);
});

test("console.log prints what Python prints", () => {
  expect(inspect(new PNDMScheduler(PNDM))).toBe(String(new PNDMScheduler(PNDM)));
  const { compatibles } = new PNDMScheduler();
  expect(inspect(compatibles).split(/,\s+/)).toHaveLength(compatibles.length);
  expect(inspect([EulerDiscreteScheduler])).toBe("[ [class EulerDiscreteScheduler] ]");
});
