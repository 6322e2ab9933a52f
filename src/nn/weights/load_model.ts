/** From a repository to a model on the GPU: config, modules, files, weights. */
import { whileReporting } from "../../arguments/progress.js";
import { givenOptions, refuseRespelt, type WithoutNulls } from "../../arguments/spelling.js";
import { openRequired, readJSON } from "../../loader/config.js";
import { ConfigError } from "../../loader/errors.js";
import { requireAll } from "../../loader/missing_files.js";
import { joinPath } from "../../loader/paths.js";
import {
  HUB_OPTION_NAMES,
  openRepository,
  type Repository,
  type RepositoryFile,
  type RepositorySource,
} from "../../loader/repository.js";
import { Turns } from "../../loader/turns.js";
import { exists, openWeightFiles, type WeightFilesOptions, type WeightStem } from "../../loader/weight_files.js";
import { ensureDevice, type Device } from "../../tensor/device.js";
import { checkDType, DTYPE_OPTION_NAMES, givenDType } from "../dtype.js";
import type { Module } from "../module.js";
import { assignBlankWeights } from "./allocate.js";
import type { FromPretrainedOptions, PretrainedModel } from "./pretrained.js";
import { loadWeights, type LoadWeightsOptions } from "./weights.js";

/** A class with its config as the constructor's argument. */
export type ModelClass<M> = (new (config: Readonly<Record<string, unknown>>) => M) & {
  readonly className: string;
  /** The class that files name, where another one has the same files. */
  readonly fileClass?: string;
  /** The arguments of Python's constructor with their defaults. */
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly weightStem: WeightStem;
  readonly modelType?: string;
};

/**
 * Those of some options that are keys of a class's config, and were given.
 * @throws TypeError for such a key in camelCase
 */
export function configKeys(
  { className, defaults }: Pick<ModelClass<unknown>, "className" | "defaults">,
  options: object,
): Record<string, unknown> {
  refuseRespelt(className, options, Object.keys(defaults));
  const own = Object.entries(options).filter(([key, value]) => Object.hasOwn(defaults, key) && value !== undefined);
  return Object.fromEntries(own) as Record<string, unknown>;
}

/** How a pipeline's models are loaded otherwise than one that is loaded alone, and the other way round. */
export interface LoadHooks {
  /**
   * Of a model that is loaded alone from a local folder: weights are looked for at the root before its subfolder, and the
   * config there after it, as diffusers does. transformers looks into the subfolder only.
   */
  alsoAtRoot?: boolean;
  orDefault?: WeightFilesOptions["orDefault"];
  /** Called when the modules stand and the device is known, before any weight is fetched. */
  onBuilt?: (model: PretrainedModel<object>, device: Device) => void;
  /** Runs the part of a load that takes GPU memory, by default at once. */
  upload?: (model: PretrainedModel<object>, load: () => Promise<void>) => Promise<void>;
  /** Configs alone are read: weights have memory but no numbers, and there are no tokenizers. */
  blank?: boolean;
}

/** Models whose weights go to the GPU at the same time. Others download meanwhile; pieces in memory stay few. */
const uploads = new Turns(2);

/** Names of all FromPretrainedOptions. */
export const MODEL_OPTION_NAMES: readonly string[] = [
  "subfolder",
  "variant",
  "useSafetensors",
  "device",
  "config",
  ...DTYPE_OPTION_NAMES,
  ...HUB_OPTION_NAMES,
];

/** What a load found in the files that is not the model's. Of these only `unexpectedKeys` is ever filled: all else is an error. */
export interface LoadingInfo {
  /** Always empty: a missing tensor is an error. */
  missingKeys: string[];
  /** Names of tensors that no module has and none needs, such as an old text encoder's position_ids. */
  unexpectedKeys: string[];
  /** Always empty: a misshapen tensor is an error. */
  mismatchedKeys: string[];
  /** Always empty. */
  errorMsgs: string[];
}

/** The load behind fromPretrained() without its info. */
export async function loadModel<M extends PretrainedModel<object>>(
  Class: ModelClass<M>,
  source: RepositorySource,
  given: FromPretrainedOptions,
  hooks?: LoadHooks,
): Promise<M> {
  return (await loadModelWithInfo(Class, source, given, hooks))[0];
}

/** The load behind fromPretrained(). */
export async function loadModelWithInfo<M extends PretrainedModel<object>>(
  Class: ModelClass<M>,
  source: RepositorySource,
  given: FromPretrainedOptions,
  hooks: LoadHooks = {},
): Promise<[model: M, info: LoadingInfo]> {
  const options = givenOptions(given, MODEL_OPTION_NAMES);
  // The repository is asked again when the weights are, long after the load's signal may have fired.
  return whileReporting(options, ({ signal }, progressCallback) =>
    loadFrom(Class, source, { ...options, signal, progressCallback }, hooks),
  );
}

async function loadFrom<M extends PretrainedModel<object>>(
  Class: ModelClass<M>,
  source: RepositorySource,
  options: WithoutNulls<FromPretrainedOptions>,
  hooks: LoadHooks,
): Promise<[model: M, info: LoadingInfo]> {
  const { className, weightStem: stem } = Class;
  const { subfolder, variant, useSafetensors = true } = options;
  const dtype = checkDType(className, "dtype", givenDType(options));
  if (!useSafetensors)
    throw new TypeError(`${className}: useSafetensors: false asks for pickles (.bin), which are never read`);
  const overrides = { ...options.config, ...configKeys(Class, { ...options.config, ...options }) };
  const repository = await openRepository(source, options);
  const alsoAtRoot = hooks.alsoAtRoot === true && repository.isLocal === true && stem === "diffusion_pytorch_model";
  const weights = { subfolder, stem, variant, alsoAtRoot };
  if (repository.isLocal && !hooks.blank) await requireModelFiles(repository, weights, hooks);
  const configPath = await findConfig(repository, weights);
  const file = await readJSON(repository, configPath);
  // Into the file's own object, of which it is known how its numbers were written.
  const config = Object.assign(file, { _name_or_path: nameOf(source, subfolder) }, overrides);
  const model = build(Class, config, `${configPath} of ${repository.name}`);
  const device = await ensureDevice(options.device);
  model.placeOn(device, dtype);
  hooks.onBuilt?.(model, device);
  const info = { missingKeys: [], unexpectedKeys: [], mismatchedKeys: [], errorMsgs: [] };
  const { upload = (_, load) => load() } = hooks;
  if (hooks.blank) {
    await upload(model, async () => assignBlankWeights(model, device));
    return [model, info];
  }
  const read: ReadWeights = async (device, how) => {
    const opened = await openRepository(repository, { signal: how.signal });
    const files = await openWeightFiles(opened, { ...weights, orDefault: hooks.orDefault });
    return readWeights(className, model, files, { ...how, device, dtype });
  };
  const { signal, progressCallback } = options;
  const around: ReadOptions["around"] = (load) => upload(model, load);
  const unexpectedKeys = await read(device, { signal, progressCallback, around });
  model.remember(read);
  return [model, { ...info, unexpectedKeys }];
}

/**
 * Fills a model from its files, onto a device: at its loading, again when that device was lost, and in part when other LoRAs are added to
 * its weights.
 * @returns the names of tensors that were left out
 */
export type ReadWeights = (
  device: Device,
  options: ReadOptions & Pick<LoadWeightsOptions, "only" | "deltas">,
) => Promise<string[]>;

interface ReadOptions extends Pick<WithoutNulls<FromPretrainedOptions>, "signal" | "progressCallback"> {
  /** Runs what takes GPU memory, by default at once. */
  around?: (load: () => Promise<void>) => Promise<void>;
}

async function readWeights(
  className: string,
  model: Module,
  files: readonly RepositoryFile[],
  { progressCallback: report, around = (load) => load(), ...options }: LoadWeightsOptions & ReadOptions,
): Promise<string[]> {
  const onProgress = ({ loaded, total }: { loaded: number; total: number }): unknown =>
    report?.({
      status: "progress",
      name: className,
      file: files[0].path,
      loaded,
      total,
      progress: (100 * loaded) / total,
    });
  try {
    let surplus: string[] = [];
    const load = async (): Promise<void> => {
      surplus = await loadWeights(className, model, files, { ...options, onProgress });
    };
    await uploads.run(() => around(load), options.signal);
    return surplus;
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
    async () => openRequired(repository, await findConfig(repository, weights)),
    async () => {
      const files = await openWeightFiles(repository, { ...weights, orDefault: orDefault && (() => true) });
      await Promise.all(files.map((file) => file.close?.()));
    },
  ]);
}

async function findConfig(
  repository: Repository,
  { subfolder, alsoAtRoot }: Pick<WeightFilesOptions, "subfolder" | "alsoAtRoot">,
): Promise<string> {
  const own = joinPath(subfolder, "config.json");
  return alsoAtRoot && !(await exists(repository, own)) && (await exists(repository, "config.json"))
    ? "config.json"
    : own;
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
  return subfolder ? `${source.name.replace(/\/+$/, "")}/${subfolder}` : source.name;
}
