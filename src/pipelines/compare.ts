/** The same prompt and the same noise under several schedulers, as one labelled picture. */
import { checkFunction } from "../arguments/options.js";
import { shown } from "../arguments/shown.js";
import { schedulerClass, type Scheduler, type SchedulerClass } from "../schedulers/index.js";
import { Generator } from "../tensor/random.js";
import { takeOptions, type OptionTable } from "./call/call_options.js";
import { CALL_OPTIONS } from "./call/check_inputs.js";
import type { ProgressBarConfig } from "./call/progress_bar.js";
import { contactSheet } from "./images/contact_sheet.js";
import type { RawImage } from "./images/raw_image.js";
import { StableDiffusionPipeline } from "./stable_diffusion/stable_diffusion.js";
import type { StableDiffusionOptions } from "./stable_diffusion/stable_diffusion_options.js";
import { StableDiffusionXLPipeline } from "./stable_diffusion_xl/stable_diffusion_xl.js";

/** The schedulers that diffusers' guide compares. */
export const GUIDE_SCHEDULERS: readonly string[] = [
  "LMSDiscreteScheduler",
  "EulerDiscreteScheduler",
  "EulerAncestralDiscreteScheduler",
  "DPMSolverMultistepScheduler",
];

type Fixed = "numInferenceSteps" | "numImagesPerPrompt" | "outputType" | "generator" | "timesteps" | "sigmas";

/** Besides these, every option of a call that does not change from picture to picture. */
export interface CompareOptions extends Omit<StableDiffusionOptions, Fixed> {
  /** Names or classes, one per column. Default: the four of diffusers' guide. */
  schedulers?: readonly (string | SchedulerClass)[] | null;
  /** Number of steps, or several: one row each. Default 25. */
  steps?: number | readonly number[] | null;
  /** Seed of torch's CPU noise, the same for every picture. Default: one that nobody chose. */
  seed?: number | bigint | null;
  /** Instead of a seed: every picture starts from this generator's state, which does not change. */
  generator?: Generator | null;
  /** Called as each picture is done; the next one waits for what it returns. */
  onCell?: ((cell: CompareCell) => unknown) | null;
}

function optionTable(): OptionTable<Required<CompareOptions>> {
  const {
    numInferenceSteps: _steps,
    numImagesPerPrompt: _count,
    outputType: _type,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ...shared
  } = CALL_OPTIONS;
  return { schedulers: true, steps: true, seed: true, onCell: true, ...shared };
}
const COMPARE_OPTIONS = optionTable();

/** One picture of compareSchedulers(). */
export interface CompareCell {
  /** Class name. */
  scheduler: string;
  /** Number of steps that it was drawn in. */
  steps: number;
  /** From prompt to picture, weights loaded and shaders compiled. */
  seconds: number;
  image: RawImage;
}

/** All pictures of compareSchedulers(). */
export interface CompareResult {
  /** Columns are schedulers, rows are numbers of steps. */
  sheet: RawImage;
  /** Row by row. */
  cells: CompareCell[];
}

/**
 * Draws `prompt` once per scheduler and number of steps, always from the same noise. The pipeline keeps its own scheduler and
 * progress bar; other calls of it take turns with these pictures.
 * @throws RangeError, TypeError for wrong arguments, an unknown scheduler, and what the pipeline throws
 * @example
 * const { sheet } = await compareSchedulers(pipeline, "a red circle", { schedulers: ["DDIMScheduler", "PNDMScheduler"] });
 * await sheet.save("sheet.png");
 */
export async function compareSchedulers(
  pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline,
  prompt: string,
  options?: CompareOptions | null,
): Promise<CompareResult> {
  const given = takeOptions("compareSchedulers", options, COMPARE_OPTIONS, "refuse");
  const { schedulers = GUIDE_SCHEDULERS, steps = 25, seed, generator, onCell, ...call } = given;
  const drawn: unknown = pipeline;
  if (!(drawn instanceof StableDiffusionPipeline || drawn instanceof StableDiffusionXLPipeline))
    throw new TypeError(
      `compareSchedulers: takes a StableDiffusionPipeline or StableDiffusionXLPipeline, got ${shown(drawn)}`,
    );
  if (typeof prompt !== "string")
    throw new TypeError(`compareSchedulers: prompt must be one text, got ${shown(prompt)}`);
  checkFunction("compareSchedulers: onCell", onCell);
  const rows = checkSteps(typeof steps === "number" ? [steps] : steps);
  const original = pipeline.scheduler;
  const columns = instances(schedulers, original);
  const start = startOf(seed, generator);
  const noise = (): Generator => new Generator(start.device).setState(start.getState());

  /** A call takes its scheduler and its progress bar when it is made: before anybody else sees that they were others. */
  const draw = (scheduler: Scheduler, bar: ProgressBarConfig, own: StableDiffusionOptions): Promise<RawImage[]> => {
    const before = { scheduler: pipeline.scheduler, bar: pipeline["progressBarConfig"] };
    pipeline.scheduler = scheduler;
    pipeline["progressBarConfig"] = { ...before.bar, ...bar };
    try {
      return pipeline.call(prompt, { ...call, ...own }).then(({ images }) => images as RawImage[]);
    } finally {
      pipeline.scheduler = before.scheduler;
      pipeline["progressBarConfig"] = before.bar;
    }
  };
  const cells: CompareCell[] = [];
  // One step that is not timed: otherwise the first picture alone would pay for compiling the shaders.
  await draw(
    columns[0],
    { disable: true },
    {
      numInferenceSteps: rows[0],
      generator: noise(),
      callbackOnStepEnd: () => void (pipeline.interrupt = true),
    },
  );
  for (const numInferenceSteps of rows)
    for (const scheduler of columns) {
      const { className } = scheduler;
      const started = performance.now();
      const [image] = await draw(scheduler, { desc: className }, { numInferenceSteps, generator: noise() });
      const seconds = (performance.now() - started) / 1000;
      const cell = { scheduler: className, steps: numInferenceSteps, seconds, image };
      cells.push(cell);
      await onCell?.(cell);
    }
  const labelled = cells.map(({ scheduler, steps: n, seconds, image }) => ({
    image,
    labels: [scheduler, `${n} step${n === 1 ? "" : "s"}, ${seconds.toFixed(1)} s`],
  }));
  const grid = rows.map((_, row) => labelled.slice(row * columns.length, (row + 1) * columns.length));
  return { sheet: contactSheet(grid, `${prompt} (seed ${start.initialSeed()})`), cells };
}

function checkSteps(steps: readonly number[]): readonly number[] {
  if (!Array.isArray(steps) || steps.length === 0 || steps.some((n) => !Number.isSafeInteger(n) || n < 1))
    throw new RangeError(`compareSchedulers: steps must be a positive integer or a list of them, got ${shown(steps)}`);
  return steps;
}

/** All made before anything is drawn, so that a wrong name costs no time. */
function instances(schedulers: readonly (string | SchedulerClass)[], original: Scheduler): Scheduler[] {
  if (!Array.isArray(schedulers) || schedulers.length === 0)
    throw new RangeError("compareSchedulers: schedulers must be a list of names or classes, got none");
  return schedulers.map((given) =>
    (typeof given === "string" ? schedulerClass(given) : given).fromConfig(original.config),
  );
}

function startOf(seed: number | bigint | undefined, generator: Generator | undefined): Generator {
  if (seed !== undefined && generator) throw new TypeError("compareSchedulers: give seed or generator, got both");
  if (generator instanceof Generator) return generator;
  if (generator) throw new TypeError(`compareSchedulers: generator must be one Generator, got ${shown(generator)}`);
  const start = new Generator("cpu");
  if (seed === undefined) start.seed();
  else start.manualSeed(seed);
  return start;
}
