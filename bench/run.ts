/** Runs the suite: the roofline, the ops, the whole. Everything found goes to `emit` at once. */
import type { FloatType } from "../test/cases/data.js";
import { bothWays } from "./conv2d.bench.js";
import { measureDevices } from "./devices.js";
import { Timer } from "./harness.js";
import { describe, isNamed, measure } from "./measure.js";
import { Probe } from "./probe.js";
import type { Result, RooflineResult } from "./results.js";
import { measureRealSize } from "./real_size.js";
import { measureRoofline } from "./roofline.js";
import { sd15Rows } from "./sd15.js";
import { MANY_DEVICES, REAL_SIZE } from "./sections.js";
import { quickRows } from "./shapes.js";
import { measureWhole } from "./whole.js";

export interface SuiteOptions {
  /** The 16 ops of the quick list, cut down on software adapters. */
  quick: boolean;
  /** Measures the ways of each op first, for this run, and takes the fastest. */
  tune: boolean;
  /** Only rows whose name, sizes or dtype contain this. */
  filter?: string;
  dtypes: readonly FloatType[];
  /** Folder or URL of the model that is measured as a whole. */
  model: string;
  /** Folder of a repository of Stable Diffusion 1.5's size, to measure that as well. */
  realSize?: string;
  /** An adapter for one more device. */
  adapter: () => Promise<GPUAdapter>;
  /** Called once, before anything is measured. */
  begin: (timer: Timer) => void;
  emit: (result: Result) => void;
  /** Stops between two measurements. */
  signal?: AbortSignal;
}

/** About a second on two cores. */
const SOFTWARE_LIMITS = { flops: 2e9, elements: 2 ** 23 };
const NO_LIMITS = { flops: Infinity, elements: Infinity };
const STEPS = { quick: 10, full: 25 };
/** What --filter must be part of to run the models. */
const WHOLE = "whole model";

/** Whether a run with this filter measures the model of Stable Diffusion 1.5's size, where there is one. */
export const asksForRealSize = (filter: string): boolean => REAL_SIZE.includes(filter);

/** Measures everything that the options name. @throws Error if the filter matches nothing */
export async function runSuite(options: SuiteOptions): Promise<void> {
  const { quick, tune, filter = "", dtypes, realSize, emit, signal } = options;
  const rows = sd15Rows();
  // The ways of one op are measured where a filter asks for them.
  const wanted = (quick ? quickRows(rows) : rows)
    .flatMap((row) => [row, ...(filter === "" ? [] : bothWays(row))])
    .flatMap((row) => dtypes.map((dtype) => ({ row, dtype })));
  const probe = await Probe.create(await options.adapter());
  const { kept } = probe.device.tunings;
  const before = [...kept];
  try {
    const limits = quick && probe.device.isSoftware ? SOFTWARE_LIMITS : NO_LIMITS;
    const chosen = wanted
      .map(({ row, dtype }) => describe(row, dtype, limits))
      .filter(([described]) => isNamed(described, filter));
    const models = [WHOLE, MANY_DEVICES, ...(realSize === undefined ? [] : [REAL_SIZE])];
    if (chosen.length === 0 && !models.some((name) => name.includes(filter)))
      throw new Error(
        `--filter: no op contains "${filter}"${asksForRealSize(filter) ? "; --real-size FOLDER is missing" : ""}`,
      );
    const timer = await Timer.create(probe, quick ? { budget: 300 } : { budget: 1000 });
    options.begin(timer);
    const roofline: RooflineResult = { kind: "roofline", ...(await measureRoofline(timer)) };
    emit(roofline);
    for (const [described, bench] of chosen) {
      signal?.throwIfAborted();
      emit(bench ? await measure(timer, roofline, described, bench, { tuned: tune }) : described);
    }
  } finally {
    kept.clear();
    for (const [key, way] of before) kept.set(key, way);
    probe.device.destroy();
  }
  const heard: SuiteOptions = {
    ...options,
    emit(result) {
      emit(result);
      signal?.throwIfAborted();
    },
  };
  if (WHOLE.includes(filter)) await runWhole(heard);
  if (MANY_DEVICES.includes(filter)) await runDevices(heard);
  if (realSize !== undefined && asksForRealSize(filter)) await runRealSize(heard, realSize);
}

/** In one dtype: what a second device brings is much the same in both. */
async function runDevices({ dtypes: [dtype], model, emit }: SuiteOptions): Promise<void> {
  for await (const result of measureDevices(model, dtype)) emit(result);
}

/** In float16, as one would run it. */
async function runRealSize({ adapter, emit }: SuiteOptions, model: string): Promise<void> {
  const probe = await Probe.create(await adapter());
  try {
    for await (const result of measureRealSize(probe, { model, dtype: "float16" })) emit(result);
  } finally {
    probe.device.destroy();
  }
}

async function runWhole({ quick, dtypes, model, adapter, emit }: SuiteOptions): Promise<void> {
  for (const dtype of quick ? dtypes.slice(0, 1) : dtypes) {
    const probe = await Probe.create(await adapter());
    try {
      const options = { model, dtype, steps: quick ? STEPS.quick : STEPS.full };
      for await (const result of measureWhole(probe, options)) emit(result);
    } finally {
      probe.device.destroy();
    }
  }
}
