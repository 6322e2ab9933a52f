import { describe, expect, test } from "vitest";
import { CLIPTokenizer } from "../../src/loader/tokenizer/clip_tokenizer.js";
import { EMBEDDED_MODEL } from "../../src/loader/embedded.js";
import {
  DDIMScheduler,
  findFlaxScheduler,
  FlaxDDIMScheduler,
  flaxSchedulerNames,
  PNDMScheduler,
  schedulerClass,
  schedulerNames,
} from "../../src/schedulers/index.js";
import { keptFiles, repositoryOf } from "../support/kept_files.js";

describe("savePretrained", () => {
  test("every class writes into an object of the caller's own, and is read from one", async () => {
    for (const name of schedulerNames()) {
      const target = keptFiles();
      const scheduler = schedulerClass(name).fromConfig({});
      await scheduler.savePretrained(target);
      expect([...target.files]).toEqual([["scheduler_config.json", scheduler.toJsonString()]]);
      expect(String(await schedulerClass(name).fromPretrained(repositoryOf(target.files)))).toBe(String(scheduler));
    }
    for (const name of flaxSchedulerNames()) {
      const target = keptFiles();
      const scheduler = findFlaxScheduler(name)!.fromConfig({});
      await scheduler.savePretrained(target);
      expect([...target.files]).toEqual([["scheduler_config.json", scheduler.toJsonString()]]);
    }
  });

  test("what is no target is refused, as models refuse it", async () => {
    const scheduler = new PNDMScheduler();
    await expect(scheduler.savePretrained("")).rejects.toThrow(
      /PNDMScheduler\.savePretrained: needs a folder, or an object with list, write and remove, got ""/,
    );
    await expect(scheduler.savePretrained({ name: "x" } as never)).rejects.toThrow(/got \{ name: "x" \}/);
    await expect(scheduler.savePretrained(undefined as never)).rejects.toThrow(/got undefined/);
  });
});

test("savePretrained of schedulers and tokenizers has no options, and says so", async () => {
  const tokenizer = await CLIPTokenizer.fromPretrained(EMBEDDED_MODEL, { subfolder: "tokenizer" });
  const warnings: string[] = [];
  const { warn } = console;
  console.warn = (message: string) => void warnings.push(message);
  try {
    for (const saved of [new DDIMScheduler(), tokenizer]) {
      await saved.savePretrained(keptFiles(), { variant: "fp16" } as never);
      await expect(saved.savePretrained(keptFiles(), { safeSerialization: false } as never)).rejects.toThrow(
        /savePretrained: safeSerialization: false asks for pickles/,
      );
    }
  } finally {
    console.warn = warn;
  }
  expect(warnings).toEqual(
    ["DDIMScheduler", "CLIPTokenizer"].map(
      (name) => `${name}.savePretrained: options that it does not have are ignored: \`variant\` (there are none)`,
    ),
  );
});

describe("the other names of diffusers' ConfigMixin", () => {
  const pndm = new PNDMScheduler({ skip_prk_steps: true, beta_end: 0.012 });
  const saved = repositoryOf(new Map([["scheduler/scheduler_config.json", pndm.toJsonString()]]));
  const at = { subfolder: "scheduler" };

  test("saveConfig writes what savePretrained writes", async () => {
    const target = keptFiles();
    await pndm.saveConfig(target);
    expect([...target.files]).toEqual([["scheduler_config.json", pndm.toJsonString()]]);
  });

  test("loadConfig gives the file's content, and apart from it what else was given", async () => {
    const content = JSON.parse(pndm.toJsonString()) as object;
    expect(await DDIMScheduler.loadConfig(saved, at)).toEqual(content);
    expect(await FlaxDDIMScheduler.loadConfig(saved, at)).toEqual(content);
    const [config, unused] = await DDIMScheduler.loadConfig(saved, {
      ...at,
      returnUnusedKwargs: true,
      foo: 3,
      beta_start: 0.2,
      localFilesOnly: true,
    } as const);
    expect(config).toEqual(content);
    expect(unused).toEqual({ foo: 3, beta_start: 0.2 });
    await expect(DDIMScheduler.loadConfig(repositoryOf(new Map()))).rejects.toThrow(
      /^DDIMScheduler\.loadConfig: kept files has no scheduler_config\.json; does it lie in a subfolder\?$/,
    );
    await expect(DDIMScheduler.fromPretrained(repositoryOf(new Map()), at)).rejects.toThrow(
      /has neither scheduler\/scheduler_config\.json nor scheduler_config\.json$/,
    );
  });

  test("null says nothing of where to load from; as a value of the config it overrides the file's", async () => {
    const nothing = { revision: null, token: null, signal: null, localFilesOnly: null, progressCallback: null };
    const options = { ...nothing, beta_start: null } as unknown as { beta_start: number };
    const [config, unused] = await DDIMScheduler.loadConfig(saved, { ...at, ...options, returnUnusedKwargs: true });
    expect(config).toEqual(JSON.parse(pndm.toJsonString()));
    expect(unused).toEqual({ beta_start: null });
    const atRoot = repositoryOf(new Map([["scheduler_config.json", pndm.toJsonString()]]));
    const root = { ...nothing, subfolder: null, returnUnusedKwargs: false } as const;
    expect((await DDIMScheduler.fromPretrained(atRoot, root)).config.beta_end).toBe(0.012);
    const [flax] = await FlaxDDIMScheduler.fromPretrained(atRoot, root);
    expect(flax.config.beta_end).toBe(0.012);
    const trained = repositoryOf(new Map([["scheduler_config.json", '{"trained_betas": [0.1, 0.2]}']]));
    const own = await DDIMScheduler.fromPretrained(trained, { trained_betas: null });
    expect(own.config.trained_betas).toBeNull();
  });

  // As Python gives them, but that our live configs name their class.
  test("returnUnusedKwargs names the overrides left over, and what stays hidden", async () => {
    const options = { returnUnusedKwargs: true, foo: 3, beta_start: 0.2 } as const;
    const [live, unused] = DDIMScheduler.fromConfig(pndm.config, options);
    expect(live.config.beta_start).toBe(0.2);
    expect(unused).toEqual({ foo: 3, skip_prk_steps: true, _class_name: "DDIMScheduler" });
    const [, hidden] = DDIMScheduler.fromConfig({ beta_end: 0.1, weird: 5 }, { returnUnusedKwargs: true });
    expect(hidden).toEqual({ weird: 5 });

    const ofFile = { foo: 3, _class_name: "DDIMScheduler", _diffusers_version: "0.42.1", skip_prk_steps: true };
    const [ddim, others] = await DDIMScheduler.fromPretrained(saved, { ...at, ...options });
    expect(ddim.config.beta_start).toBe(0.2);
    expect(others).toEqual(ofFile);
    const [flax, state, rest] = await FlaxDDIMScheduler.fromPretrained(saved, { ...at, ...options });
    expect([flax.config.beta_start, state.timesteps.length]).toEqual([0.2, 1000]);
    expect(rest).toEqual({ ...ofFile, _class_name: "FlaxDDIMScheduler", timestep_spacing: "leading" });
    expect(await FlaxDDIMScheduler.fromPretrained(saved, at)).toHaveLength(2);

    // In Python's spelling, which TypeScript does not offer.
    const { returnUnusedKwargs: _, ...named } = options;
    const python = { return_unused_kwargs: true, ...named } as object as typeof options;
    expect(DDIMScheduler.fromConfig(pndm.config, python)[1]).toEqual(unused);
    expect((await DDIMScheduler.fromPretrained(saved, { ...at, ...python }))[1]).toEqual(ofFile);
    expect((await FlaxDDIMScheduler.fromPretrained(saved, { ...at, ...python }))[2]).toEqual(rest);
    expect((await DDIMScheduler.loadConfig(saved, { ...at, ...python }))[1]).toEqual({ foo: 3, beta_start: 0.2 });
    expect(DDIMScheduler.fromConfig(pndm.config, { foo: 3 } as object)).toBeInstanceOf(DDIMScheduler);
  });
});
