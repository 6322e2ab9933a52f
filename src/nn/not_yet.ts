/** Methods of Python's models and pipelines that this version does not have: each says why, and the way round. */

const ON_THE_GPU =
  "not supported: weights stay on the GPU, there is no copy of them on the CPU; to need less memory load with " +
  '{ dtype: "float16" }, and call enableVaeTiling() for large pictures';

const saved = "pipe.save_pretrained(folder)) and load the folder";

const MISSING = {
  enableModelCpuOffload: ON_THE_GPU,
  enableSequentialCpuOffload: ON_THE_GPU,
  enableGroupOffload: ON_THE_GPU,
  loadLoraWeights: `not supported yet: LoRA weights are not read; merge them in Python (pipe.load_lora_weights(…), pipe.fuse_lora(), ${saved}`,
  loadTextualInversion: `not supported yet: embeddings of textual inversion are not read; add them in Python (pipe.load_textual_inversion(…), ${saved}`,
  loadIpAdapter: "not supported yet: there are no image prompts",
  fromSingleFile: "not supported yet: checkpoints in one file are not read",
} as const;

/** What a call of such a method throws. */
export function notYet(className: string, method: keyof typeof MISSING): Error {
  const message = `${className}.${method}: ${MISSING[method]}`;
  if (method !== "fromSingleFile") return new Error(message);
  // Of pipelines, Python has it only in those of Stable Diffusion and the like.
  const reader = className.endsWith("Pipeline") ? "StableDiffusionPipeline.from" : `${className}.from`;
  return new Error(
    `${message}; convert them in Python (${reader}_single_file(file).save_pretrained(folder)) and load the folder`,
  );
}
