/** Learned embeddings, from files and as tensors: diffusers' load_textual_inversion_state_dicts (loaders/textual_inversion.py). */
import { isPlain } from "../../arguments/config_object.js";
import { ConfigError, quote, RepositoryError } from "../../loader/errors.js";
import { findFileSource, NoSuchFileError, type FilePlace } from "../../loader/file_source.js";
import { isPickle } from "../../loader/pickles.js";
import type { RepositorySource } from "../../loader/repository.js";
import { readTensorFile } from "../../nn/weights/tensor_file.js";
import { Tensor } from "../../tensor/tensor.js";

/** Embeddings by their token, as loadSafetensors() gives them: one, of one vector or of several. */
export type EmbeddingsByToken = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/** Where an embedding is: a repository, the path or address of a .safetensors file, or its tensor, [width] or [vectors, width]. */
export type EmbeddingSource = RepositorySource | Tensor | EmbeddingsByToken;

/** What was learned for one token. */
export interface LearnedEmbedding {
  /** Its token in the file; null where there is none. */
  readonly token: string | null;
  /** Of one vector each. */
  readonly vectors: readonly Float32Array[];
}

/** diffusers' TEXT_INVERSION_NAME_SAFE, and what there was before it. */
const NAME = "learned_embeds.safetensors";
const PICKLED_NAME = "learned_embeds.bin";

const CURE =
  'convert it in Python: safetensors.torch.save_file({"<token>": embedding}, "file.safetensors"), where embedding is the ' +
  "only value of a file of diffusers, and string_to_param['*'] of one of A1111";

/** @throws RepositoryError, SafetensorsError, ConfigError, TypeError, RangeError naming the source and what is wrong with it */
export async function readEmbedding(
  caller: string,
  source: EmbeddingSource,
  place: FilePlace,
): Promise<LearnedEmbedding> {
  if (source instanceof Tensor) return { token: null, vectors: await vectorsOf(caller, "the tensor", source) };
  const byToken = tensorsOf(source);
  if (byToken) {
    const token = onlyKey(caller, "what is given", [...byToken.keys()]);
    return { token, vectors: await vectorsOf(caller, quote(token), byToken.get(token)!) };
  }
  const { path, tensors } = await readFile(caller, source as RepositorySource, place);
  const token = onlyKey(caller, path, [...tensors.keys()]);
  const { entry, values } = tensors.get(token)!;
  return { token, vectors: rows(caller, `${path}: ${quote(token)}`, entry.shape, values) };
}

/** The tensors of an object that has some, and nothing else. */
function tensorsOf(source: unknown): ReadonlyMap<string, Tensor> | null {
  const entries = source instanceof Map ? [...source] : isPlain(source) ? Object.entries(source as object) : [];
  const isEach = entries.length > 0 && entries.every(([, value]) => value instanceof Tensor);
  return isEach ? new Map(entries as [string, Tensor][]) : null;
}

async function readFile(caller: string, source: RepositorySource, place: FilePlace): ReturnType<typeof readTensorFile> {
  const name = source instanceof URL ? source.href : typeof source === "string" ? source : (source?.name ?? "");
  const pickle = [place.weightName ?? "", name].find(isPickle);
  if (pickle !== undefined)
    throw new RepositoryError(`${caller}: ${pickle} is a pickle, which can run code and is not read; ${CURE}`);
  try {
    return await readTensorFile(caller, source, place, NAME);
  } catch (error) {
    if (!(error instanceof NoSuchFileError) || place.weightName || !(await hasPickle(caller, source, place)))
      throw error;
    throw new RepositoryError(
      `${caller}: ${name} has no ${NAME}, but ${PICKLED_NAME}, a pickle, which can run code and is not read; ${CURE}`,
      { cause: error },
    );
  }
}

async function hasPickle(caller: string, source: RepositorySource, place: FilePlace): Promise<boolean> {
  try {
    const { open } = await findFileSource(caller, source, { ...place, weightName: PICKLED_NAME });
    await (await open(place.signal ?? undefined)).close?.();
    return true;
  } catch {
    return false;
  }
}

function onlyKey(caller: string, where: string, keys: readonly string[]): string {
  if (keys.length === 1) return keys[0];
  const shown = keys
    .slice(0, 4)
    .map((key) => quote(key))
    .join(", ");
  throw new ConfigError(
    `${caller}: ${where} has ${keys.length} tensors, ${shown}${keys.length > 4 ? ", …" : ""}, and must have that of one token; of a ` +
      'file with several give one: (await loadSafetensors(file)).get("clip_l"), for text_encoder_2 that of "clip_g"',
  );
}

const vectorsOf = async (caller: string, where: string, tensor: Tensor): Promise<Float32Array[]> =>
  rows(caller, where, tensor.shape, Float32Array.from(await tensor.data()));

function rows(caller: string, where: string, shape: readonly number[], values: Float32Array): Float32Array[] {
  const [count, width] = shape.length === 1 ? [1, shape[0]] : shape;
  if (shape.length < 1 || shape.length > 2 || count === 0 || width === 0)
    throw new RangeError(`${caller}: ${where} must be [width] or [vectors, width], got [${shape.join(", ")}]`);
  return Array.from({ length: count }, (_, i) => values.slice(i * width, (i + 1) * width));
}
