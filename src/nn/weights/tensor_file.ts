/** The tensors of a safetensors file that belong to no model: safetensors.torch.load_file. */
import { givenOptions } from "../../arguments/spelling.js";
import { findFileSource, type FilePlace } from "../../loader/file_source.js";
import { HUB_OPTION_NAMES, type RepositorySource } from "../../loader/repository.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../../loader/safetensors.js";
import { ensureDevice, type Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { floats } from "../lora/numbers.js";

export interface TensorFile {
  /** Where it is, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, { readonly entry: SafetensorsEntry; readonly values: Float32Array }>;
}

/**
 * @param otherwise the file's name where none is said
 * @throws RepositoryError, SafetensorsError; ConfigError for numbers of a kind that weights are not of
 */
export async function readTensorFile(
  caller: string,
  source: RepositorySource,
  place: FilePlace,
  otherwise?: string,
): Promise<TensorFile> {
  const { open } = await findFileSource(caller, source, place, otherwise);
  const file = await open(place.signal ?? undefined);
  try {
    const { entries } = await readSafetensorsHeader(file);
    const tensors = new Map<string, { entry: SafetensorsEntry; values: Float32Array }>();
    for (const entry of entries.values())
      tensors.set(entry.name, { entry, values: floats(await file.read(entry.start, entry.end), entry, file.path) });
    return { path: file.path, tensors };
  } finally {
    await file.close?.();
  }
}

/** Options of loadSafetensors(). */
export interface TensorFileOptions extends FilePlace {
  /** Where the tensors are; by default the device made first. */
  device?: Device | null;
}

/**
 * Reads all tensors of a safetensors file, as `safetensors.torch.load_file`.
 * @param source the path or address of the file, or a repository, with `weightName`
 * @returns by name, in float16 where the file has them so, else in float32. The caller disposes them
 * @throws RepositoryError, SafetensorsError; ConfigError for integers
 * @example
 * const embeddings = await loadSafetensors("web_y2k_emb.safetensors");
 */
export async function loadSafetensors(
  source: RepositorySource,
  given?: TensorFileOptions | null,
): Promise<Map<string, Tensor>> {
  const known = ["subfolder", "weightName", "device", ...HUB_OPTION_NAMES];
  const { device: wanted, ...place } = givenOptions(given, known, "loadSafetensors");
  const { tensors } = await readTensorFile("loadSafetensors", source, place);
  const device = await ensureDevice(wanted);
  return new Map(
    [...tensors].map(([name, { entry, values }]) => [
      name,
      Tensor.from(values, entry.shape, { device, dtype: entry.dtype === "F16" ? "float16" : "float32" }),
    ]),
  );
}
