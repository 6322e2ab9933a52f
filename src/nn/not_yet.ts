/** Methods of Python's models and pipelines that this version does not have: each says why, and the way round. */

const WHOLE =
  'not supported: weights move to the CPU by whole models, `await pipeline.enableModelCpuOffload()`; to need less memory load with { dtype: "float16" }, too';

/** Those of Python's classes that have from_single_file. */
const SINGLE_FILE = ["ControlNetModel", "ControlNetUnionModel"];

const saved = "pipe.save_pretrained(folder)) and load the folder";

const MISSING = {
  enableSequentialCpuOffload: WHOLE,
  enableGroupOffload: WHOLE,
  loadLoraWeights: `not supported: this pipeline takes no LoRA weights; merge them in Python (pipe.load_lora_weights(…), pipe.fuse_lora(), ${saved}`,
  loadTextualInversion: `not supported: this pipeline takes no embeddings of textual inversion; add them in Python (pipe.load_textual_inversion(…), ${saved}`,
  loadIpAdapter: "not supported: this pipeline takes no pictures as prompts",
  fromSingleFile:
    "not supported: of checkpoints in one file pipelines are read, UNet2DConditionModel and AutoencoderKL",
} as const;

/** What a call of such a method throws. */
export function notYet(className: string, method: keyof typeof MISSING): Error {
  const message = `${className}.${method}: ${MISSING[method]}`;
  if (method !== "fromSingleFile") return new Error(message);
  // Parts of pipelines come with the whole.
  const reader = SINGLE_FILE.includes(className) ? `${className}.from` : "StableDiffusionPipeline.from";
  return new Error(
    `${message}; convert them in Python (${reader}_single_file(file).save_pretrained(folder)) and load the folder`,
  );
}
