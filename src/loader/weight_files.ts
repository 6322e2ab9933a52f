/** Which safetensors files hold a model's weights: diffusers' names for variants and shards. */
import { shown } from "../arguments/shown.js";
import { readJSON } from "./config.js";
import { ConfigError } from "./errors.js";
import { MissingFilesError } from "./missing_files.js";
import { joinPath } from "./paths.js";
import type { Repository, RepositoryFile } from "./repository.js";
import { Turns } from "./turns.js";

/** `diffusion_pytorch_model` for diffusers' classes, `model` for transformers'. */
export type WeightStem = "diffusion_pytorch_model" | "model";

export interface WeightFilesOptions {
  subfolder?: string;
  /** Whether they are looked for at the root before. */
  alsoAtRoot?: boolean;
  stem: WeightStem;
  /** e.g. "fp16": `<stem>.fp16.safetensors` */
  variant?: string;
  /**
   * Told once whether there are files of the variant; says whether those without will do instead. By default they will not.
   */
  orDefault?: (found: boolean) => boolean | Promise<boolean>;
}

const MAX_SHARDS = 1000;
/** Shards asked for at once. */
const opens = new Turns(4);

/**
 * Opens a model's weight files: the index of a sharded checkpoint first, then the single file, as diffusers does.
 * @throws MissingFilesError if there are none; ConfigError, with the way out, if there are only pickles
 */
export async function openWeightFiles(repository: Repository, options: WeightFilesOptions): Promise<RepositoryFile[]> {
  const { variant, subfolder, stem, orDefault } = options;
  if (variant !== undefined && !/^[\w-]+$/.test(variant))
    throw new ConfigError(`variant: must be a word such as "fp16", got ${shown(variant)}`);
  const found = await find(repository, options);
  const byDefault = variant && (await orDefault?.(found !== null)) === true;
  const files = found ?? (byDefault ? await find(repository, { ...options, variant: undefined }) : null);
  if (files) return files;
  const infixes = [...(byDefault ? [""] : []), variant ? `.${variant}` : ""];
  const pickles = infixes.flatMap((infix) => [
    `${stem}${infix}.bin`,
    ...(stem === "model" ? [`pytorch_model${infix}.bin`] : []),
  ]);
  for (const pickle of pickles)
    if (await exists(repository, joinPath(subfolder, pickle)))
      throw new ConfigError(
        `${joinPath(subfolder, pickle)} in ${repository.name}: is a pickle, which can run code and is not read. ` +
          "Convert it in Python: model.save_pretrained(folder, safe_serialization=True).",
      );
  const names = infixes.map((infix) => joinPath(subfolder, `${stem}${infix}.safetensors`));
  const cure = variant && !byDefault ? `; leave out variant "${variant}" to load the default weights` : "";
  throw new MissingFilesError(names, repository.name, repository.whyMissing?.(names[0]), cure);
}

/** In each place the index of shards comes first, in all of them before a single file. */
async function find(
  repository: Repository,
  { subfolder = "", stem, variant, alsoAtRoot = false }: WeightFilesOptions,
): Promise<RepositoryFile[] | null> {
  const infix = variant ? `.${variant}` : "";
  const folders = new Set(alsoAtRoot ? ["", subfolder] : [subfolder]);
  for (const folder of folders) {
    const index = joinPath(folder, `${stem}.safetensors.index${infix}.json`);
    if (await exists(repository, index)) return openShards(repository, folder, index);
  }
  for (const folder of folders) {
    const file = await repository.open(joinPath(folder, `${stem}${infix}.safetensors`));
    if (file) return [file];
  }
  if (!variant) return null;
  // As diffusers called it before 0.29, with shards named <stem>-00001-of-00002.fp16.safetensors.
  for (const folder of folders) {
    const older = joinPath(folder, `${stem}.safetensors${infix}.index.json`);
    if (await exists(repository, older)) return openShards(repository, folder, older);
  }
  return null;
}

export async function exists(repository: Repository, path: string): Promise<boolean> {
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
  const names = [...new Set(Object.values(map))].sort() as unknown[];
  if (names.length === 0 || names.length > MAX_SHARDS)
    throw new ConfigError(`${indexName}: lists ${names.length} shards, expected 1 to ${MAX_SHARDS}`);
  const paths = names.map((shard) => {
    if (typeof shard === "string" && /^[\w.-]+\.safetensors$/.test(shard)) return joinPath(subfolder, shard);
    throw new ConfigError(`${indexName}: a shard must be the plain name of a .safetensors file, got ${shown(shard)}`);
  });
  const requireAllOf = (found: readonly unknown[]): void => {
    const missing = paths.filter((_, i) => !found[i]);
    if (missing.length === 0) return;
    const note = `, but ${indexName} lists ${missing.length > 1 ? "them" : "it"}`;
    throw new MissingFilesError(missing, repository.name, repository.whyMissing?.(missing[0]), note);
  };
  // Where opening is fetching: all are there, or none is fetched.
  if (repository.has)
    requireAllOf(await Promise.all(paths.map((path) => opens.run(async () => repository.has?.(path)))));
  const opened = await Promise.allSettled(paths.map((path) => opens.run(() => repository.open(path))));
  const files = opened.map((result) => (result.status === "fulfilled" ? result.value : null));
  try {
    const broken = opened.find((result) => result.status === "rejected");
    if (broken) throw broken.reason;
    requireAllOf(files);
  } catch (error) {
    await Promise.all(files.map((file) => file?.close?.()));
    throw error;
  }
  return files as RepositoryFile[];
}
