import { randomInt } from "node:crypto";
import { Generator } from "../index.js";
import {
  countOf,
  DRAWING_OPTIONS,
  dtypeOf,
  guidanceOf,
  parse,
  positive,
  promptOf,
  seedOf,
  sizeOf,
} from "./arguments.js";
import { checkWritable, outputFiles, stepsText, write } from "./output.js";
import { defaultGuidance, findScheduler, withPipeline } from "./session.js";

/** `webgpu-diffusers generate`: draws a prompt and writes PNG files. */
export async function generate(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = parse(args, [...DRAWING_OPTIONS, "scheduler", "count"] as const);
  const { model } = values;
  const prompt = promptOf(positionals);
  const numInferenceSteps = positive("steps", values.steps, 50);
  const numImagesPerPrompt = countOf(values.count);
  const guidanceScale = guidanceOf(values.guidance, defaultGuidance(model));
  const size = sizeOf(values.size);
  const dtype = dtypeOf(values.dtype);
  const seed = values.seed === undefined ? BigInt(randomInt(2 ** 32)) : seedOf(values.seed);
  const Scheduler = values.scheduler === undefined ? null : findScheduler(values.scheduler);
  const files = outputFiles(values.output, numImagesPerPrompt);
  await checkWritable(files, signal);

  await withPipeline({ model, dtype, signal }, async (pipeline) => {
    if (Scheduler) pipeline.scheduler = Scheduler.fromConfig(pipeline.scheduler.config);
    const started = performance.now();
    const { images } = await pipeline(prompt, {
      negativePrompt: values.negative,
      numInferenceSteps,
      numImagesPerPrompt,
      guidanceScale,
      ...size,
      generator: new Generator("cpu").manualSeed(seed),
      signal,
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const description = `seed ${seed}, ${pipeline.scheduler.className}, ${stepsText(numInferenceSteps)}, ${seconds} s`;
    for (const [i, file] of files.entries())
      await write(file, images[i], files.length === 1 ? description : `${description} for ${files.length}`);
  });
}
