/** Running the pipeline goldens of fixtures/models/gold/pipe. */
import { DiffusionPipeline, Generator, schedulerClass, Tensor, type StableDiffusionPipeline } from "../../src/index.js";
import type { StableDiffusionOptions } from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import { readGolden, type Golden } from "./goldens.js";

/** One entry of gold/pipe/index.json, cut from fixtures/models/manifest.json. */
export interface PipelineRun {
  id: string;
  file: string;
  repo: string;
  scheduler: string;
  scheduler_from_config: Record<string, unknown>;
  call: Record<string, unknown>;
  seeds: number[];
  generator: "single" | "list";
  run: { sensitivity: { latents_max_abs: number; image_max_abs: number } };
}

export const pipelineRuns = async (): Promise<PipelineRun[]> =>
  (await readFixtureJSON("models/gold/pipe/index.json")) as unknown as PipelineRun[];

export const camelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const OUTPUT_TYPES: Record<string, string> = { np: "np", latent: "latent" };

/** Python's keyword arguments as this library's options. */
function options(call: Record<string, unknown>, goldens: Map<string, Golden>): StableDiffusionOptions {
  const entries = Object.entries(call).map(([name, value]) => {
    const tensor = (value as { tensor?: string } | null)?.tensor;
    if (tensor !== undefined) {
      const golden = goldens.get(tensor) as Golden;
      return [camelCase(name), Tensor.from(golden.data, golden.shape)];
    }
    return [camelCase(name), name === "output_type" ? OUTPUT_TYPES[value as string] : value];
  });
  return Object.fromEntries(entries) as StableDiffusionOptions;
}

export async function loadRepo(repo: string): Promise<StableDiffusionPipeline> {
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(fixturePath(`models/repos/${repo}`));
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

/** What a run gives next to what diffusers gave; `latents` are those after the last step. */
export async function runGolden(
  pipeline: StableDiffusionPipeline,
  run: PipelineRun,
): Promise<{ result: Float32Array; latents: Float32Array; goldens: Map<string, Golden> }> {
  const goldens = await readGolden(`models/${run.file}`);
  const { prompt, ...call } = run.call;
  const original = pipeline.scheduler;
  pipeline.scheduler = schedulerClass(run.scheduler).fromConfig(original.config, run.scheduler_from_config);
  const generators = run.seeds.map((seed) => new Generator("cpu").manualSeed(seed));
  let latents: Tensor | undefined;
  const given = options(call, goldens);
  const { images } = await pipeline(prompt as string, {
    ...(given as StableDiffusionOptions & { outputType: "np" }),
    generator: run.generator === "list" ? generators : generators[0],
    callbackOnStepEnd: async (_, step, __, tensors) => {
      if (step === pipeline.scheduler.timesteps.length - 1)
        latents = Tensor.from(await tensors.latents!.data(), tensors.latents!.shape);
    },
  });
  pipeline.scheduler = original;
  const result = {
    result: (await images.data()) as Float32Array,
    latents: (await latents!.data()) as Float32Array,
    goldens,
  };
  for (const tensor of [images, latents, ...Object.values(given)]) if (tensor instanceof Tensor) tensor.dispose();
  return result;
}

/** Largest and mean absolute difference; NaN counts as infinite. */
export function differences(actual: ArrayLike<number>, expected: ArrayLike<number>): { worst: number; mean: number } {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers instead of ${expected.length}`);
  let worst = 0;
  let sum = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    worst = d <= worst ? worst : Number.isNaN(d) ? Infinity : d;
    sum += d;
  }
  return { worst, mean: sum / expected.length };
}
