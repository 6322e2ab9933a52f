/** A checkpoint in one file, seen as a repository in the layout of diffusers: its weights under their names there, configs from elsewhere. */
import { throwIfAborted } from "../../arguments/signal.js";
import { readJSON } from "../config.js";
import { ConfigError } from "../errors.js";
import { findFileSource, type FilePlace } from "../file_source.js";
import {
  HUB_OPTION_NAMES,
  openRepository,
  type HubOptions,
  type Repository,
  type RepositoryFile,
  type RepositorySource,
} from "../repository.js";
import { readSafetensorsHeader, type SafetensorsHeader } from "../safetensors.js";
import { exists } from "../weight_files.js";
import { placeOf, type Layout, type Place } from "./keys.js";
import { configRepository } from "./kinds.js";
import { madeFile, type MadeTensor } from "./made_file.js";

export interface SingleFilePlace extends FilePlace {
  /** The repository that has the configs and the tokenizer; by default the one on the hub that diffusers takes. */
  config?: RepositorySource | null;
}

/** Those of SingleFilePlace that say where the file and its configs are. */
export const SINGLE_FILE_OPTION_NAMES: readonly string[] = ["config", "weightName", "subfolder"];

/** Options of a load that say where the file is, and those of the load itself; what concerns the hub is among both. */
export function splitOptions<T extends SingleFilePlace>(
  options: T,
): [place: SingleFilePlace, rest: Omit<T, "config" | "weightName" | "subfolder">] {
  const { config, weightName, subfolder, ...rest } = options;
  const hub = Object.entries(rest).filter(([name]) => HUB_OPTION_NAMES.includes(name));
  return [{ config, weightName, subfolder, ...(Object.fromEntries(hub) as HubOptions) }, rest];
}

const WEIGHTS = /^(unet|vae|text_encoder|text_encoder_2)\/(?:diffusion_pytorch_model|model)\.safetensors$/;

/**
 * @param source the path or address of a .safetensors file
 * @throws RepositoryError, SafetensorsError; ConfigError for a file that is no checkpoint of Stable Diffusion
 */
export async function openSingleFile(
  caller: string,
  source: RepositorySource,
  { config, ...place }: SingleFilePlace,
): Promise<Repository> {
  const { open } = await findFileSource(caller, source, place);
  const { subfolder: _, weightName: __, revision: ___, ...hub } = place;
  const file = await open(place.signal ?? undefined);
  try {
    const header = await readSafetensorsHeader(file);
    const configs = await openRepository(config ?? configRepository(file.path, header.entries), hub);
    throwIfAborted(place.signal);
    const tensors = tensorsOf(header, await layoutOf(configs, header));
    if (tensors.size === 0)
      throw new ConfigError(
        `${file.path}: has no weights of Stable Diffusion under the names of a checkpoint in one file (model.diffusion_model.…)`,
      );
    return new SingleFile(file.path, open, tensors, configs);
  } finally {
    await file.close?.();
  }
}

class SingleFile implements Repository {
  constructor(
    readonly name: string,
    private readonly openWhole: (signal?: AbortSignal) => Promise<RepositoryFile>,
    private readonly tensors: ReadonlyMap<string, readonly MadeTensor[]>,
    private readonly configs: Repository,
  ) {}

  async open(path: string, options?: { signal?: AbortSignal }): Promise<RepositoryFile | null> {
    if (path === "model_index.json") return memoryFile(path, await this.#index());
    if (!path.includes(".safetensors")) return this.configs.open(path, options);
    const tensors = this.tensors.get(WEIGHTS.exec(path)?.[1] ?? "");
    if (!tensors) return null;
    return madeFile(await this.openWhole(options?.signal), `${path} of ${this.name}`, tensors);
  }

  /** As in diffusers, there is no safety checker but one that is given. */
  async #index(): Promise<Record<string, unknown>> {
    const index = await readJSON(this.configs, "model_index.json");
    return "safety_checker" in index ? { ...index, safety_checker: [null, null] } : index;
  }

  whyMissing(path: string): string | undefined {
    return WEIGHTS.test(path) ? `no weights for ${path.split("/")[0]}` : this.configs.whyMissing?.(path);
  }
}

async function layoutOf(configs: Repository, { entries }: SafetensorsHeader): Promise<Layout> {
  const config = "unet/config.json";
  const { layers_per_block: layers } = (await exists(configs, config))
    ? await readJSON(configs, config)
    : { layers_per_block: 2 };
  if (typeof layers !== "number")
    throw new ConfigError(
      `unet/config.json of ${configs.name}: layers_per_block must be one number for a checkpoint in one file`,
    );
  const levels = [...entries.keys()].map((key) => /(?:^|\.)decoder\.up\.(\d+)\./.exec(key)?.[1]);
  return { layersPerBlock: layers, vaeLevels: 1 + Math.max(...levels.map((level) => Number(level ?? 0))) };
}

/** By component. */
function tensorsOf({ entries }: SafetensorsHeader, layout: Layout): Map<Place["component"], MadeTensor[]> {
  const tensors = new Map<Place["component"], MadeTensor[]>();
  for (const { name, dtype, shape, start, end } of entries.values()) {
    const place = placeOf(name, layout);
    if (!place) continue;
    const { component, keys, transposed } = place;
    const own = tensors.get(component) ?? tensors.set(component, []).get(component)!;
    const [rows, ...rest] = shape;
    const size = (end - start) / keys.length;
    if (rows % keys.length !== 0) throw new ConfigError(`${name}: has ${rows} rows, which are no ${keys.length} parts`);
    const part = transposed ? [...shape].reverse() : keys.length > 1 ? [rows / keys.length, ...rest] : shape;
    keys.forEach((key, i) =>
      own.push({ name: key, dtype, shape: part, from: start + i * size, to: start + (i + 1) * size, transposed }),
    );
  }
  return tensors;
}

function memoryFile(path: string, content: object): RepositoryFile {
  const bytes = new TextEncoder().encode(JSON.stringify(content));
  return { path, size: bytes.length, read: async (start = 0, end = bytes.length) => bytes.slice(start, end) };
}
