/** Where schedulers' configs lie. */
import { inOwnSpelling } from "../arguments/spelling.js";
import { readJSON } from "../loader/config.js";
import {
  HUB_OPTION_NAMES,
  openRepository,
  RepositoryError,
  type HubOptions,
  type RepositorySource,
} from "../loader/repository.js";
import type { Config } from "./config.js";

export const CONFIG_NAME = "scheduler_config.json";

/** Arguments of `fromPretrained` that say where to load from; everything else overrides the config. */
export interface LoadOptions extends HubOptions {
  subfolder?: string;
}

/** With `returnUnusedKwargs` the result is a list whose last entry has what else was given. */
export interface Returning<B extends boolean> {
  returnUnusedKwargs: B;
}

/** Takes `returnUnusedKwargs`, which may have Python's spelling, out of options. */
export function splitReturning<O extends object>(options: O): [returnsUnused: boolean, others: O] {
  const { returnUnusedKwargs, ...others } = inOwnSpelling<O & Partial<Returning<boolean>>>(options, [
    "returnUnusedKwargs",
  ]);
  return [Boolean(returnUnusedKwargs), others as O];
}

/**
 * The content of `scheduler_config.json`, in `subfolder` or else at the root, the options that say nothing of where, and
 * whether the caller wants those back.
 * @param caller for messages, e.g. "DDIMScheduler.fromPretrained"
 * @throws RepositoryError, ConfigError
 */
export async function readConfig(
  caller: string,
  source: RepositorySource,
  given: LoadOptions & Partial<Returning<boolean>>,
): Promise<[config: Config, others: Config, returnsUnused: boolean]> {
  const [returnsUnused, { subfolder = "", ...wanted }] = splitReturning(given);
  const options = inOwnSpelling(wanted, HUB_OPTION_NAMES);
  const repository = await openRepository(source, options);
  const others = Object.fromEntries(Object.entries(options).filter(([key]) => !HUB_OPTION_NAMES.includes(key)));
  const path = subfolder === "" ? CONFIG_NAME : `${subfolder.replace(/\/+$/, "")}/${CONFIG_NAME}`;
  for (const candidate of new Set([path, CONFIG_NAME]))
    if (await repository.open(candidate)) return [await readJSON(repository, candidate), others, returnsUnused];
  const missing =
    path === CONFIG_NAME ? `no ${CONFIG_NAME}; does it lie in a subfolder?` : `neither ${path} nor ${CONFIG_NAME}`;
  throw new RepositoryError(`${caller}: ${repository.name} has ${missing}`);
}
