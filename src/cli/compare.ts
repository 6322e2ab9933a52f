import {
  compareSchedulers,
  GUIDE_SCHEDULERS,
  LatentConsistencyModelPipeline,
  StableDiffusionPipeline,
} from "../index.js";
import { DRAWING_OPTIONS, dtypeOf, guidanceOf, parse, positive, promptOf, seedOf, sizeOf } from "./arguments.js";
import { checkWritable, outputFiles, stepsText, write } from "./output.js";
import { defaultGuidance, findScheduler, withPipeline } from "./session.js";

/** `webgpu-diffusers compare`: one prompt and one noise under several schedulers, as a contact sheet. */
export async function compare(args: string[], signal: AbortSignal): Promise<void> {
  const names = [...DRAWING_OPTIONS, "schedulers"] as const;
  const { values, flags, positionals } = parse(args, names, ["no-safety-checker"]);
  const { model } = values;
  const prompt = promptOf(positionals);
  const steps = list(values.steps ?? "25").map((text) => positive("steps", text));
  const guidanceScale = guidanceOf(values.guidance, defaultGuidance(model));
  const size = sizeOf(values.size);
  const dtype = dtypeOf(values.dtype);
  const seed = seedOf(values.seed ?? "8");
  const schedulers = (values.schedulers === undefined ? GUIDE_SCHEDULERS : list(values.schedulers)).map(findScheduler);
  const files = outputFiles(values.output);
  await checkWritable(files, signal);

  await withPipeline({ model, dtype, checksSafety: !flags["no-safety-checker"], signal }, async (pipeline) => {
    const started = performance.now();
    // A latent consistency model's own pipeline takes no other scheduler.
    const drawn =
      pipeline instanceof LatentConsistencyModelPipeline ? StableDiffusionPipeline.fromPipe(pipeline) : pipeline;
    const { sheet } = await compareSchedulers(drawn, prompt, {
      schedulers,
      steps,
      seed,
      negativePrompt: values.negative,
      guidanceScale,
      ...size,
      signal,
      onCell: (cell) => console.log(`${cell.scheduler}, ${stepsText(cell.steps)}, ${cell.seconds.toFixed(1)} s`),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    await write(files[0], sheet, `seed ${seed}, ${schedulers.length * steps.length} pictures, ${seconds} s`);
  });
}

const list = (text: string): string[] => text.split(",").map((item) => item.trim());
