/** Embeddings of textual inversion that are made and not stored, as scripts/make_textual_inversion.py makes them. */
import { Tensor, type StableDiffusionPipeline, type StableDiffusionXLPipeline } from "../../src/index.js";
import type { EmbeddingSource, NewToken } from "../../src/index.js";
import { readFixtureJSON } from "./files.js";
import { fnv, uniform } from "./made_weights.js";
import { writeSafetensors } from "./repositories.js";

/** What is loaded: a tensor, or that by its token, `key`. */
export interface MadeEmbedding {
  tensor: string;
  shape: number[];
  key?: string;
}

export type Step = { part: number } & (
  { load: MadeEmbedding[]; token: string | (string | null)[] | null } | { unload: string[] | null }
);

export interface TextualInversionRun {
  model: "sd15" | "sdxl";
  steps: Step[];
  call: Record<string, string>;
  /** By part: the first text encoder and its tokenizer, the second ones. */
  tokens: Record<string, number>[];
  rows: number[];
  converted: string[][];
  /** Of the first prompt and tokenizer, and what the first encoder makes of them. */
  ids: number[][];
  states: number[];
  shape: number[];
  latents: number[];
}

interface Goldens {
  tokenised: {
    added: (string | NewToken)[];
    count: number;
    length: number;
    encoder: Record<string, number>;
    cases: { text: string; ids: number[]; tokens: string[]; converted: string }[];
  }[];
  runs: TextualInversionRun[];
  refused: { steps: Step[]; error: string }[];
}

export const readTextualInversionGoldens = (): Promise<Goldens> => readFixtureJSON("pipelines/textual_inversion.json");

export function embeddingValues({ tensor, shape }: MadeEmbedding): Float32Array<ArrayBuffer> {
  const seed = fnv(tensor);
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => uniform(seed, i));
}

/** A safetensors file of one embedding. */
export const embeddingFile = (made: MadeEmbedding): Uint8Array<ArrayBuffer> =>
  writeSafetensors(
    new Map([[made.key!, { dtype: "F32", shape: made.shape, bytes: new Uint8Array(embeddingValues(made).buffer) }]]),
  ) as Uint8Array<ArrayBuffer>;

/** Does a step, with tensors on the device made first. */
export async function act(pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline, step: Step): Promise<void> {
  const { text_encoder, text_encoder_2, tokenizer, tokenizer_2 } = pipeline as StableDiffusionXLPipeline;
  const parts =
    step.part === 0
      ? { textEncoder: text_encoder, tokenizer }
      : { textEncoder: text_encoder_2, tokenizer: tokenizer_2 };
  if ("unload" in step) return pipeline.unloadTextualInversion(step.unload, parts);
  const tensors = step.load.map((made) => Tensor.from(embeddingValues(made), made.shape));
  try {
    const sources = step.load.map(({ key }, i): EmbeddingSource =>
      key === undefined ? tensors[i] : new Map([[key, tensors[i]]]),
    );
    await pipeline.loadTextualInversion(sources.length > 1 ? sources : sources[0], { token: step.token, ...parts });
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
