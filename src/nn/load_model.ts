/** From a repository to a model on the GPU: config, modules, files, weights. */
import { openRequired, readJSON } from "../loader/config.js";
import { ConfigError } from "../loader/errors.js";
import { requireAll } from "../loader/missing_files.js";
import { joinPath } from "../loader/paths.js";
import {
  hubOptions,
  openRepository,
  type Repository,
  type RepositoryFile,
  type RepositorySource,
} from "../loader/repository.js";
import { Turns } from "../loader/turns.js";
import { openWeightFiles, type WeightFilesOptions, type WeightStem } from "../loader/weight_files.js";
import { ensureDevice, type Device } from "../tensor/device.js";
import { checkDType, givenDType } from "./dtype.js";
import type { FromPretrainedOptions, PretrainedModel } from "./pretrained.js";
import type { Module } from "./module.js";
import { loadWeights, type LoadWeightsOptions } from "./weights.js";

/** A class with its config as the constructor's argument. */
export type ModelClass<M> = (new (config: Readonly<Record<string, unknown>>) => M) & {
  readonly className: string;
  readonly weightStem: WeightStem;
};

/** What a pipeline adds to the loading of its models. */
export interface LoadHooks {
  orDefault?: WeightFilesOptions["orDefault"];
  /** Called when the modules stand and the device is known, before any weight is fetched. */
  onBuilt?: (model: PretrainedModel<object>, device: Device) => void;
}

/** Models whose weights go to the GPU at the same time. Others download meanwhile; pieces in memory stay few. */
const uploads = new Turns(2);

/** The load behind fromPretrained(). */
export async function loadModel<M extends PretrainedModel<object>>(
  Class: ModelClass<M>,
  source: RepositorySource,
  options: FromPretrainedOptions,
  hooks: LoadHooks = {},
): Promise<M> {
  const { className, weightStem: stem } = Class;
  const { subfolder, variant, useSafetensors = true, signal } = options;
  const dtype = checkDType(className, "dtype", givenDType(options));
  if (!useSafetensors)
    throw new TypeError(`${className}: useSafetensors: false asks for pickles (.bin), which are never read`);
  signal?.throwIfAborted();
  const repository = await openRepository(source, hubOptions(options));
  const weights = { subfolder, stem, variant, orDefault: hooks.orDefault };
  if (repository.isLocal) await requireModelFiles(repository, { subfolder, stem, variant }, hooks);
  const configPath = joinPath(subfolder, "config.json");
  const config = { ...(await readJSON(repository, configPath)), _name_or_path: nameOf(source, subfolder) };
  const model = build(Class, { ...config, ...options.config }, `${configPath} of ${repository.name}`);
  const device = options.device ?? (await ensureDevice());
  model.placeOn(device, dtype);
  hooks.onBuilt?.(model, device);
  const read: ReadWeights = async (device, options) =>
    readWeights(className, model, await openWeightFiles(repository, weights), { ...options, device, dtype });
  await read(device, options);
  model.remember(read);
  return model;
}

/** Fills a model from its files, onto a device: at its loading, and again when that device was lost. */
export type ReadWeights = (
  device: Device,
  options: Pick<FromPretrainedOptions, "signal" | "progressCallback">,
) => Promise<void>;

async function readWeights(
  className: string,
  model: Module,
  files: readonly RepositoryFile[],
  { progressCallback: report, ...options }: LoadWeightsOptions & Pick<FromPretrainedOptions, "progressCallback">,
): Promise<void> {
  const onProgress = ({ loaded, total }: { loaded: number; total: number }): void =>
    report?.({
      ...{ status: "progress", name: className, file: files[0].path },
      ...{ loaded, total, progress: (100 * loaded) / total },
    });
  try {
    await uploads.run(() => loadWeights(className, model, files, { ...options, onProgress }), options.signal);
  } finally {
    await Promise.all(files.map((file) => file.close?.()));
  }
}

/**
 * @param weights where a pipeline's model may do without the variant, its other files are looked for
 * @throws MissingFilesError naming all files that are not there
 */
export async function requireModelFiles(
  repository: Repository,
  weights: WeightFilesOptions,
  { orDefault }: LoadHooks = {},
): Promise<void> {
  await requireAll([
    () => openRequired(repository, joinPath(weights.subfolder, "config.json")),
    async () => {
      const files = await openWeightFiles(repository, { ...weights, orDefault: orDefault && (() => true) });
      await Promise.all(files.map((file) => file.close?.()));
    },
  ]);
}

/** The modules of a model. Faults of the config get the name of its file. */
function build<M>(Class: ModelClass<M>, config: Readonly<Record<string, unknown>>, file: string): M {
  try {
    return new Class(config);
  } catch (cause) {
    throw new ConfigError(`${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Where a model came from, as diffusers notes it in its config: components of a pipeline with their folder. */
function nameOf(source: RepositorySource, subfolder: string | undefined): string {
  if (typeof source === "string") return source;
  if (source instanceof URL) return source.href;
  return subfolder ? `${source.name}/${subfolder}` : source.name;
}
