import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerDiscreteScheduler,
  FlaxDDIMScheduler,
  FlowMatchEulerDiscreteScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  schedulerClass,
  schedulerNames,
  UniPCMultistepScheduler,
  type Scheduler,
} from "../../src/schedulers/index.js";
import { readFixtureJSON } from "../support/files.js";
import { repositoryOf } from "../support/kept_files.js";

/** What Python's diffusers 0.42.1 printed (floats that are whole keep their point). */
interface Prints {
  defaults: Record<string, string>;
  swaps: {
    label: string;
    config: Record<string, unknown>;
    to: string;
    overrides: Record<string, unknown>;
    useDefaultValues: string[];
    warnings: string[];
    print: string;
  }[];
}
const escaped = (text: string): string => text.replace(/[.[\]]/g, "\\$&");

let prints: Prints;
const warnings: string[] = [];
const { warn } = console;
beforeAll(async () => {
  prints = await readFixtureJSON<Prints>("schedulers/prints.json");
  console.warn = (text: string) => void warnings.push(text);
});
afterAll(() => void (console.warn = warn));

const SD15 = {
  _class_name: "PNDMScheduler",
  _diffusers_version: "0.6.0",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
  clip_sample: false,
};

describe("printing", () => {
  test("every class prints its defaults as Python does", () => {
    for (const name of schedulerNames()) {
      const Class = schedulerClass(name);
      const scheduler = new Class();
      expect(String(scheduler)).toBe(prints.defaults[name]);
    }
  });

  test("configs that went through fromConfig print, warn and remember defaults as in Python", () => {
    for (const { config, to, overrides, print, useDefaultValues, warnings: wanted } of prints.swaps) {
      warnings.length = 0;
      const scheduler = schedulerClass(to).fromConfig(config, overrides);
      expect(String(scheduler)).toBe(print);
      expect([...((scheduler.config._use_default_values ?? []) as string[])].sort()).toEqual(useDefaultValues);
      expect(warnings).toEqual(wanted);
    }
  });

  test("numbers print as the file had them, through swaps and saves; numbers are numbers all the same", async () => {
    warnings.length = 0;
    const text =
      '{"_class_name": "DDIMScheduler", "clip_sample_range": 1, "scaler": 1.0, "sigma_max": 80, "beta_end": 1e-2, ' +
      '"sample_max_value": 2.0, "trained_betas": [0, 0.5, 1], "rho": 7e0, "steps_offset": 1.0, "nothing": [1.0, 2.0], ' +
      '"dynamic_thresholding_ratio": 1}';
    const load = (content: string) =>
      DDIMScheduler.fromPretrained(repositoryOf(new Map([["scheduler_config.json", content]])));
    const ddim = await load(text);
    const { clip_sample_range, scaler, trained_betas, nothing } = ddim.config;
    expect([clip_sample_range, scaler, trained_betas, nothing]).toEqual([1, 1, [0, 0.5, 1], [1, 2]]);
    expect(warnings.join()).toContain("{'scaler': 1.0, 'nothing': [1.0, 2.0]}");

    // As Python prints them, for all three classes.
    const written = [
      '"clip_sample_range": 1',
      '"dynamic_thresholding_ratio": 1',
      '"nothing": [ 1.0, 2.0 ]',
      '"rho": 7.0',
      '"sample_max_value": 2.0',
      '"scaler": 1.0',
      '"sigma_max": 80',
      '"steps_offset": 1.0',
      '"trained_betas": [ 0, 0.5, 1 ]',
    ];
    const printed = (scheduler: Scheduler): string => String(scheduler).replace(/\s+/g, " ");
    const euler = EulerDiscreteScheduler.fromConfig(ddim.config);
    for (const scheduler of [ddim, euler, await load(ddim.toJsonString()), DDIMScheduler.fromConfig(euler.config)])
      for (const line of written) expect(printed(scheduler)).toMatch(new RegExp(`${escaped(line)}[, ]`));
    const ddpm = DDPMScheduler.fromConfig(euler.config, { sample_max_value: 3, clip_sample_range: 4 });
    for (const line of ['"sample_max_value": 3.0', '"clip_sample_range": 4.0', '"sigma_max": 80', '"scaler": 1.0'])
      expect(printed(ddpm)).toContain(`${line},`);
    // Only what came from a file is known; the rest prints as its key is usually meant.
    expect(printed(new DDIMScheduler({ clip_sample_range: 1 }))).toContain('"clip_sample_range": 1.0,');
  });

  test("Node's console.log shows the same text", () => {
    const scheduler = new PNDMScheduler({ skip_prk_steps: true }) as unknown as Record<symbol, () => string>;
    expect(scheduler[Symbol.for("nodejs.util.inspect.custom")]()).toBe(String(scheduler));
    for (const Class of [PNDMScheduler, FlaxDDIMScheduler] as unknown as Record<symbol | string, () => string>[])
      expect(Class[Symbol.for("nodejs.util.inspect.custom")]()).toBe(`[class ${String(Class.className)}]`);
  });
});

describe("swapping", () => {
  test("a live swap takes the new class's defaults, a saved and loaded config those that were written out", () => {
    const pndm = PNDMScheduler.fromConfig(SD15);
    expect(pndm.config.timestep_spacing).toBe("leading");
    expect(EulerDiscreteScheduler.fromConfig(pndm.config).config.timestep_spacing).toBe("linspace");
    const saved = JSON.parse(pndm.toJsonString()) as Record<string, unknown>;
    expect(EulerDiscreteScheduler.fromConfig(saved).config.timestep_spacing).toBe("leading");
  });

  test("from A to B is the same as B from the file, for every pair of compatible classes", () => {
    for (const a of schedulerNames().filter((name) => schedulerClass(name).compatibleNames.length > 0))
      for (const b of schedulerClass(a).fromConfig(SD15).compatibles) {
        const direct = b.fromConfig(SD15);
        const swapped = b.fromConfig(schedulerClass(a).fromConfig(SD15).config);
        expect(String(swapped)).toBe(String(direct));
      }
  });

  test("keys of other classes survive a swap there and back", () => {
    const there = EulerDiscreteScheduler.fromConfig(PNDMScheduler.fromConfig(SD15).config);
    expect(there.config.skip_prk_steps).toBe(true);
    expect(String(PNDMScheduler.fromConfig(there.config))).toBe(String(PNDMScheduler.fromConfig(SD15)));
  });

  test("overrides win, and unknown ones are ignored", () => {
    const overrides = { beta_end: 0.02, no_such_option: 1 };
    const scheduler = DDIMScheduler.fromConfig(SD15, overrides);
    expect(scheduler.config.beta_end).toBe(0.02);
    expect("no_such_option" in scheduler.config).toBe(false);
  });

  test("keys of the class in camelCase are refused, wherever they are given", async () => {
    const message = "DPMSolverMultistepScheduler: has no option useKarrasSigmas (it is use_karras_sigmas)";
    const [config, file] = [new PNDMScheduler().config, new PNDMScheduler().toJsonString()];
    const repository = repositoryOf(new Map([["scheduler_config.json", file]]));
    // @ts-expect-error TypeScript knows the keys
    expect(() => DPMSolverMultistepScheduler.fromConfig(config, { useKarrasSigmas: true })).toThrow(message);
    // @ts-expect-error the same
    expect(() => new DPMSolverMultistepScheduler({ useKarrasSigmas: true })).toThrow(message);
    await expect(
      // @ts-expect-error the same
      DPMSolverMultistepScheduler.fromPretrained(repository, { useKarrasSigmas: true }),
    ).rejects.toThrow(message);
    await expect(
      // @ts-expect-error the same
      FlaxDDIMScheduler.fromPretrained(repository, { betaEnd: 0.1 }),
    ).rejects.toThrow("FlaxDDIMScheduler: has no option betaEnd (it is beta_end)");
    // Those of other classes are unknown like any other name.
    expect(new PNDMScheduler().config).toEqual(
      PNDMScheduler.fromConfig({}, { useKarrasSigmas: true } as object).config,
    );
  });

  test("compatibles has a fixed order and itself", () => {
    const names = new DDIMScheduler().compatibles.map((other) => other.className);
    expect(names.slice(0, 3)).toEqual(
      ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler"].filter((name) => schedulerNames().includes(name)),
    );
    expect(names).toContain("EulerDiscreteScheduler");
  });
});

describe("config", () => {
  test("its keys are deprecated attributes, of other classes' keys too; a class's own names come first", () => {
    warnings.length = 0;
    const get = (scheduler: object, name: string): unknown => (scheduler as Record<string, unknown>)[name];
    const pndm = PNDMScheduler.fromConfig(SD15);
    expect([get(pndm, "num_train_timesteps"), get(pndm, "trained_betas"), get(pndm, "clip_sample")]).toEqual([
      1000,
      null,
      false,
    ]);
    const wording = (name: string): string =>
      `Accessing config attribute \`${name}\` directly via 'PNDMScheduler' object attribute is deprecated. Please access ` +
      `'${name}' over 'PNDMScheduler's config object instead, e.g. 'scheduler.config.${name}'.`;
    expect(warnings).toEqual(["num_train_timesteps", "trained_betas", "clip_sample"].map(wording));

    // A rewritten config, no such key, a private one, and a property of that name.
    warnings.length = 0;
    const solver = DPMSolverMultistepScheduler.fromConfig({ solver_type: "bh2" });
    expect(get(solver, "solver_type")).toBe("midpoint");
    expect(warnings.length).toBe(1);
    expect(get(pndm, "solver_type")).toBeUndefined();
    expect(get(new PNDMScheduler(), "clip_sample")).toBeUndefined();
    expect(get(pndm, "_diffusers_version")).toBeUndefined();
    const flow = new FlowMatchEulerDiscreteScheduler({ shift: 3 });
    flow.setShift(2);
    expect(flow.shift).toBe(2);
    expect(warnings.length).toBe(1);

    // A class written in JavaScript may set a field of a key's name.
    class Own extends PNDMScheduler {
      constructor() {
        super();
        Object.assign(this, { steps_offset: 7 });
      }
    }
    expect([get(new Own(), "steps_offset"), get(FlaxDDIMScheduler.fromConfig({}), "beta_end")]).toEqual([7, 0.02]);
    expect(warnings.length).toBe(2);
    expect(Object.keys(pndm)).not.toContain("num_train_timesteps");
  });

  test("is frozen, with its lists", () => {
    const betas = [0.1, 0.2];
    const { config } = new DDIMScheduler({ trained_betas: betas, num_train_timesteps: 2 });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.trained_betas)).toBe(true);
    betas[0] = 1;
    expect(config.trained_betas).toEqual([0.1, 0.2]);
    expect(() => ((config as { beta_start: number }).beta_start = 1)).toThrow(TypeError);
  });

  test("0 and 1 are taken for false and true, as Python takes them, and print as they were given", () => {
    const numbers = { clip_sample: 0, set_alpha_to_one: 1, thresholding: 0, rescale_betas_zero_snr: 1 };
    const ddim = DDIMScheduler.fromConfig(numbers);
    expect(String(ddim)).toMatch(/"clip_sample": 0,[^]*"rescale_betas_zero_snr": 1,\n {2}"sample_max_value"/);
    expect(ddim.alphasCumprod[999]).toBe(0);
    const [karras, plain] = [1, 0].map((use_karras_sigmas) => {
      const scheduler = EulerDiscreteScheduler.fromConfig({ ...numbers, use_karras_sigmas });
      scheduler.setTimesteps(4);
      return scheduler.sigmas;
    });
    expect(karras).not.toEqual(plain);
    expect(() => DDIMScheduler.fromConfig({ clip_sample: 2 })).toThrow(/clip_sample must be a boolean, got 2/);
    expect(() => DDIMScheduler.fromConfig({ use_flow_sigmas: 1 })).toThrow(/cannot take a flow-matching config/);
  });

  test("wrong values name key and value", () => {
    expect(() => new DDIMScheduler({ beta_schedule: "quadratic" })).toThrow(
      /beta_schedule must be one of .*"scaled_linear".*got "quadratic"/,
    );
    expect(() => new DDIMScheduler({ beta_start: "0.1" as unknown as number })).toThrow(
      /beta_start must be a number, got "0.1"/,
    );
    expect(() => new DDIMScheduler({ beta_strat: 1 } as object)).toThrow(/no option beta_strat.*beta_start/);
    expect(() => new DDIMScheduler({ num_train_timesteps: 1e12 })).toThrow(/num_train_timesteps.*1000000000000/);
    expect(() => new DDIMScheduler({ timestep_spacing: "even" }).setTimesteps(4)).toThrow(/timestep_spacing.*"even"/);
    expect(() => new EulerDiscreteScheduler({ use_karras_sigmas: true, use_beta_sigmas: true })).toThrow(/only one of/);
    expect(() => DDIMScheduler.fromConfig({ _class_name: 3 })).toThrow(/_class_name must be a string, got 3/);
  });

  test("what is no config is refused, with what to give instead; frozen ones and those of other realms are taken", () => {
    const pndm = new PNDMScheduler();
    warnings.length = 0;
    // @ts-expect-error a scheduler is no config
    expect(() => EulerDiscreteScheduler.fromConfig(pndm)).toThrow(
      /^EulerDiscreteScheduler\.fromConfig: needs a config object, got PNDMScheduler; pass its \.config$/,
    );
    // @ts-expect-error the same of a stateless class
    expect(() => FlaxDDIMScheduler.fromConfig(pndm)).toThrow(/got PNDMScheduler; pass its \.config$/);
    const wrong: [given: unknown, message: string][] = [
      ["folder", 'got "folder"; for a folder use fromPretrained'],
      [PNDMScheduler, "got class PNDMScheduler"],
      [new Map(), "got Map"],
      [[], "got []"],
      [null, "got null"],
      [undefined, "got undefined"],
      [5, "got 5"],
    ];
    for (const [given, message] of wrong)
      expect(() => DDIMScheduler.fromConfig(given as object)).toThrow(
        `DDIMScheduler.fromConfig: needs a config object, ${message}`,
      );
    expect(warnings).toEqual([]);
    expect(() => new EulerDiscreteScheduler(500 as never)).toThrow(
      /^EulerDiscreteScheduler: needs a config object, got 500$/,
    );
    expect(() => new EulerDiscreteScheduler(null as never)).toThrow(/got null$/);
    // @ts-expect-error a scheduler is no config
    expect(() => new EulerDiscreteScheduler(pndm)).toThrow(/got PNDMScheduler; pass its \.config$/);
    const config = Object.assign(Object.create(null) as object, { beta_end: 0.5 });
    for (const plain of [config, Object.create(Object.create(null) as object, {}) as object, Object.freeze({})])
      expect(DDIMScheduler.fromConfig(plain)).toBeInstanceOf(DDIMScheduler);
    expect(DDIMScheduler.fromConfig(config).config.beta_end).toBe(0.5);
  });

  test("a flow-matching config is refused by classes that cannot run it", () => {
    const flow = new FlowMatchEulerDiscreteScheduler({ shift: 3 }).config;
    expect(() => LMSDiscreteScheduler.fromConfig(flow)).toThrow(
      /LMSDiscrete.*_class_name = "FlowMatchEulerDiscreteScheduler"/,
    );
    expect(() => LMSDiscreteScheduler.fromConfig({ prediction_type: "flow_prediction" })).toThrow(
      /prediction_type = "flow_prediction"/,
    );
    expect(UniPCMultistepScheduler.fromConfig(flow, { use_flow_sigmas: true }).config.shift).toBe(3);
  });

  test("an unknown class name names the nearest", () => {
    expect(() => schedulerClass("DDIMSheduler")).toThrow(
      /"DDIMSheduler".*Did you mean DDIMScheduler\?.*Known: .*PNDMScheduler/,
    );
    expect(() => schedulerClass("Eulr")).toThrow(/Did you mean EulerDiscreteScheduler\?/);
    for (const name of ["foo", "", "StableDiffusionPipeline"])
      expect(() => schedulerClass(name)).toThrow(`unknown class "${name}". Known: `);
  });
});
