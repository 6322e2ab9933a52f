/** Which safetensors files hold a model's weights: diffusers' names for variants and shards. */
import { readJSON } from "./config.js";
import { ConfigError, MissingWeightsError } from "./errors.js";
import { joinPath } from "./paths.js";
import type { Repository, RepositoryFile } from "./repository.js";

/** `diffusion_pytorch_model` for diffusers' classes, `model` for transformers'. */
export type WeightStem = "diffusion_pytorch_model" | "model";

const MAX_SHARDS = 1000;

/**
 * Opens a model's weight files: the index of a sharded checkpoint first, then the single file, as diffusers does.
 * @param variant e.g. "fp16": `<stem>.fp16.safetensors`
 * @throws MissingWeightsError if there are none; a repository that has only pickles is refused with the way out
 */
export async function openWeightFiles(
  repository: Repository,
  { subfolder, stem, variant }: { subfolder?: string; stem: WeightStem; variant?: string },
): Promise<RepositoryFile[]> {
  if (variant !== undefined && !/^[\w-]+$/.test(variant))
    throw new ConfigError(`variant: must be a word such as "fp16", got ${JSON.stringify(variant)}`);
  const infix = variant ? `.${variant}` : "";
  const indexName = joinPath(subfolder, `${stem}.safetensors.index${infix}.json`);
  if (await exists(repository, indexName)) return openShards(repository, subfolder, indexName);
  const name = joinPath(subfolder, `${stem}${infix}.safetensors`);
  const file = await repository.open(name);
  if (file) return [file];
  for (const pickle of [`${stem}${infix}.bin`, stem === "model" ? `pytorch_model${infix}.bin` : ""])
    if (pickle && (await exists(repository, joinPath(subfolder, pickle))))
      throw new ConfigError(
        `${joinPath(subfolder, pickle)} in ${repository.name}: is a pickle, which can run code and is not read. ` +
          "Convert it in Python: model.save_pretrained(folder, safe_serialization=True).",
      );
  const why = repository.whyMissing?.(name);
  const cure = variant ? `; leave out variant "${variant}" to load the default weights` : "";
  throw new MissingWeightsError(`${name}: no such file in ${repository.name}${why ? ` (${why})` : ""}${cure}`);
}

async function exists(repository: Repository, path: string): Promise<boolean> {
  const file = await repository.open(path);
  await file?.close?.();
  return file !== null;
}

async function openShards(
  repository: Repository,
  subfolder: string | undefined,
  indexName: string,
): Promise<RepositoryFile[]> {
  const { weight_map: map } = await readJSON(repository, indexName);
  if (typeof map !== "object" || map === null || Array.isArray(map))
    throw new ConfigError(`${indexName}: weight_map must be an object`);
  const names = [...new Set(Object.values(map))].sort();
  if (names.length === 0 || names.length > MAX_SHARDS)
    throw new ConfigError(`${indexName}: lists ${names.length} shards, expected 1 to ${MAX_SHARDS}`);
  const files: RepositoryFile[] = [];
  for (const shard of names) {
    if (typeof shard !== "string" || !/^[\w.-]+\.safetensors$/.test(shard))
      throw new ConfigError(
        `${indexName}: a shard must be the plain name of a .safetensors file, got ${JSON.stringify(shard)}`,
      );
    const file = await repository.open(joinPath(subfolder, shard));
    if (!file)
      throw new ConfigError(
        `${joinPath(subfolder, shard)}: no such file in ${repository.name}, but ${indexName} lists it`,
      );
    files.push(file);
  }
  return files;
}
