import { randomInt } from "node:crypto";
import { Generator, RawImage, StableDiffusionImg2ImgPipeline } from "../index.js";
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
  strengthOf,
} from "./arguments.js";
import { UsageError } from "./errors.js";
import { checkWritable, outputFiles, stepsText, write } from "./output.js";
import { defaultGuidance, findScheduler, withPipeline } from "./session.js";

/** `webgpu-diffusers generate`: draws a prompt and writes PNG files. */
export async function generate(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = parse(args, [...DRAWING_OPTIONS, "scheduler", "count", "image", "strength"] as const);
  const { model } = values;
  const prompt = promptOf(positionals);
  const numInferenceSteps = positive("steps", values.steps, 50);
  const numImagesPerPrompt = countOf(values.count);
  const guidanceScale = guidanceOf(values.guidance, defaultGuidance(model));
  const size = sizeOf(values.size);
  const dtype = dtypeOf(values.dtype);
  const seed = values.seed === undefined ? BigInt(randomInt(2 ** 32)) : seedOf(values.seed);
  const Scheduler = values.scheduler === undefined ? null : findScheduler(values.scheduler);
  const strength = strengthOf(values.strength, values.image);
  if (values.image !== undefined && values.size !== undefined)
    throw new UsageError("--size does not go with --image: the result has the picture's size");
  const files = outputFiles(values.output, numImagesPerPrompt);
  await checkWritable(files, signal);
  const image = values.image === undefined ? null : await RawImage.open(values.image);

  await withPipeline({ model, dtype, signal }, async (pipeline) => {
    if (Scheduler) pipeline.scheduler = Scheduler.fromConfig(pipeline.scheduler.config);
    const started = performance.now();
    const options = {
      negativePrompt: values.negative,
      numInferenceSteps,
      numImagesPerPrompt,
      guidanceScale,
      generator: new Generator("cpu").manualSeed(seed),
      signal,
    };
    const { images } = image
      ? await StableDiffusionImg2ImgPipeline.fromPipe(pipeline)(prompt, { ...options, image, strength })
      : await pipeline(prompt, { ...options, ...size });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const description = `seed ${seed}, ${pipeline.scheduler.className}, ${stepsText(numInferenceSteps)}, ${seconds} s`;
    for (const [i, file] of files.entries())
      await write(file, images[i], files.length === 1 ? description : `${description} for ${files.length}`);
  });
}
