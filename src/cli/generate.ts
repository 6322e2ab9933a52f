import { randomInt } from "node:crypto";
import {
  AutoPipelineForImage2Image,
  AutoPipelineForInpainting,
  AutoPipelineForText2Image,
  ControlNetModel,
  Generator,
  LatentConsistencyModelPipeline,
  openRepository,
  RawImage,
  StableDiffusionAdapterPipeline,
  StableDiffusionDepth2ImgPipeline,
  StableDiffusionInstructPix2PixPipeline,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionPipeline,
  StableDiffusionUpscalePipeline,
  StableDiffusionXLAdapterPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLPipeline,
  T2IAdapter,
  type AutoOutput,
} from "../index.js";
import {
  checkDepth,
  checkEdits,
  checkPictures,
  checkUpscaling,
  countOf,
  DRAWING_OPTIONS,
  dtypeOf,
  guidanceOf,
  noiseLevelOf,
  imageGuidanceOf,
  loraScaleOf,
  parse,
  positive,
  promptOf,
  seedOf,
  sizeOf,
  strengthOf,
} from "./arguments.js";
import { checkEncoded, drawEncoded, isEncoded } from "./encoded_pictures.js";
import { UsageError } from "./errors.js";
import { checkWritable, outputFiles, stepsText, write } from "./output.js";
import {
  defaultGuidance,
  defaultSteps,
  findScheduler,
  withPipeline,
  type PicturePipeline,
  type TextPipeline,
} from "./session.js";

const OPTIONS = [
  ...DRAWING_OPTIONS,
  "scheduler",
  "count",
  "image",
  "mask",
  "controlnet",
  "adapter",
  "control-image",
  "strength",
  "noise-level",
  "image-guidance",
  "lora",
  "lora-scale",
  "textual-inversion",
  "token",
] as const;

/** `webgpu-diffusers generate`: draws a prompt and writes PNG files. */
export async function generate(args: string[], signal: AbortSignal): Promise<void> {
  const { values, flags, positionals } = parse(args, OPTIONS, ["cpu-offload", "no-safety-checker"]);
  const { model } = values;
  // Only some models do without, of which their files tell.
  const given = positionals.length === 0 && values.image !== undefined ? null : promptOf(positionals);
  const prompt = given ?? "";
  const steps = values.steps === undefined ? undefined : positive("steps", values.steps);
  const numImagesPerPrompt = countOf(values.count);
  const guidanceScale = guidanceOf(values.guidance, defaultGuidance(model));
  const size = sizeOf(values.size);
  const dtype = dtypeOf(values.dtype);
  const seed = values.seed === undefined ? BigInt(randomInt(2 ** 32)) : seedOf(values.seed);
  const Scheduler = values.scheduler === undefined ? null : findScheduler(values.scheduler);
  const strength = strengthOf(values.strength, values.image);
  const imageGuidanceScale = imageGuidanceOf(values["image-guidance"]);
  checkPictures(values);
  const noiseLevel = noiseLevelOf(values["noise-level"]);
  const loraScale = loraScaleOf(values["lora-scale"], values.lora);
  const { "textual-inversion": embedding, token } = values;
  if (token !== undefined && embedding === undefined)
    throw new UsageError("--token needs --textual-inversion FILE, the embedding that it stands for");
  const files = outputFiles(values.output, numImagesPerPrompt);
  await checkWritable(files, signal);
  const open = async (path?: string): Promise<RawImage | null> => (path === undefined ? null : RawImage.open(path));
  // A wrong folder is told before the model loads.
  const [net, adapterSource] = await Promise.all(
    [values.controlnet, values.adapter].map((source) =>
      source === undefined ? null : openRepository(source, { signal }),
    ),
  );
  const [image, maskImage, read] = await Promise.all([values.image, values.mask, values["control-image"]].map(open));

  let edits = false;
  const expectClass = (className: string): void => {
    checkEncoded(className, given, values);
    checkUpscaling(className, values);
    checkDepth(className, values);
    edits = checkEdits(className, values);
  };
  const offload = flags["cpu-offload"];
  const loading = { model, dtype, offload, checksSafety: !flags["no-safety-checker"], expectClass, signal };
  const work = async (pipeline: TextPipeline | PicturePipeline): Promise<void> => {
    if (Scheduler) pipeline.scheduler = Scheduler.fromConfig(pipeline.scheduler.config);
    if (values.lora !== undefined) {
      await pipeline.loadLoraWeights(values.lora, { signal, adapterName: "lora" });
      await pipeline.setAdapters("lora", loraScale);
    }
    if (embedding !== undefined) await pipeline.loadTextualInversion(embedding, { token, signal });
    const numInferenceSteps = steps ?? defaultSteps(pipeline);
    const started = performance.now();
    const shared = {
      negativePrompt: values.negative,
      numInferenceSteps,
      guidanceScale,
      generator: new Generator("cpu").manualSeed(seed),
      signal,
    };
    const draw = async (): Promise<AutoOutput> => {
      if (pipeline instanceof StableDiffusionLatentUpscalePipeline)
        return pipeline(prompt, { ...shared, image: image! });
      const options = { ...shared, numImagesPerPrompt };
      if (isEncoded(pipeline)) return drawEncoded(pipeline, { prompt: given, image, size }, { ...options, noiseLevel });
      if (pipeline instanceof StableDiffusionUpscalePipeline)
        return pipeline(prompt, { ...options, image: image!, noiseLevel });
      if (pipeline instanceof StableDiffusionDepth2ImgPipeline)
        return pipeline(prompt, { ...options, image: image!, strength });
      // diffusers has no others for latent consistency models, but theirs draw with such UNets, too.
      const isOther = net !== null || adapterSource !== null || maskImage !== null;
      const source =
        isOther && pipeline instanceof LatentConsistencyModelPipeline
          ? StableDiffusionPipeline.fromPipe(pipeline)
          : pipeline;
      if (net) {
        const controlnet = await ControlNetModel.fromPretrained(net, { device: pipeline.device, dtype, signal });
        const drawn = { ...options, ...size };
        if (!image || !read)
          return AutoPipelineForText2Image.fromPipe(source, { controlnet })(prompt, {
            ...drawn,
            image: read ?? image!,
          });
        const from = { ...drawn, image, controlImage: read, strength };
        if (!maskImage) return AutoPipelineForImage2Image.fromPipe(source, { controlnet })(prompt, from);
        return AutoPipelineForInpainting.fromPipe(source, { controlnet })(prompt, { ...from, maskImage });
      }
      if (adapterSource) {
        const adapter = await T2IAdapter.fromPretrained(adapterSource, { device: pipeline.device, dtype, signal });
        const drawn = { ...options, ...size, image: read ?? image! };
        if (source instanceof StableDiffusionXLPipeline)
          return StableDiffusionXLAdapterPipeline.fromPipe(source, { adapter })(prompt, drawn);
        return StableDiffusionAdapterPipeline.fromPipe(source, { adapter })(prompt, drawn);
      }
      if (!image) return pipeline(prompt, { ...options, ...size });
      if (edits) {
        const edit = { ...options, image, imageGuidanceScale };
        if (!(pipeline instanceof StableDiffusionXLPipeline))
          return StableDiffusionInstructPix2PixPipeline.fromPipe(pipeline)(prompt, edit);
        return StableDiffusionXLInstructPix2PixPipeline.fromPipe(pipeline)(prompt, { ...edit, ...cutDown(image) });
      }
      const from = { ...options, image, strength };
      if (!maskImage) return AutoPipelineForImage2Image.fromPipe(source)(prompt, from);
      const drawn = { ...cutDown(image), ...size };
      return AutoPipelineForInpainting.fromPipe(source)(prompt, { ...from, ...drawn, maskImage });
    };
    const { images, nsfwContentDetected: flagged } = await draw();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const description = `seed ${seed}, ${pipeline.scheduler.className}, ${stepsText(numInferenceSteps)}, ${seconds} s`;
    for (const [i, file] of files.entries()) {
      const all = files.length === 1 ? description : `${description} for ${files.length}`;
      await write(file, images[i], flagged?.[i] ? `${all}; black, as the safety checker has it` : all);
    }
  };
  await withPipeline(loading, work, work);
}

/** A picture's size in the multiples of 8 that are drawn. */
function cutDown({ width, height }: RawImage): { width: number; height: number } {
  const side = (pixels: number): number => Math.max(8, pixels - (pixels % 8));
  return { width: side(width), height: side(height) };
}
