/** Where schedulers' configs lie. */
import { givenOptions } from "../arguments/spelling.js";
import { readClassConfig, type ConfigPlace } from "../loader/class_config.js";
import { HUB_OPTION_NAMES, type RepositorySource } from "../loader/repository.js";
import type { Config } from "./config.js";

export const CONFIG_NAME = "scheduler_config.json";
const OPTION_NAMES: readonly string[] = ["subfolder", ...HUB_OPTION_NAMES];

/** Arguments of `fromPretrained` that say where to load from; everything else overrides the config. */
export type LoadOptions = ConfigPlace;

/** With `returnUnusedKwargs` the result is a list whose last entry has what else was given. */
export interface Returning<B extends boolean> {
  returnUnusedKwargs: B;
}

/** Takes `returnUnusedKwargs`, which may have Python's spelling, out of options. */
export function splitReturning<O extends object>(options: O): [returnsUnused: boolean, others: O] {
  const { returnUnusedKwargs, ...others } = givenOptions<O & Partial<Returning<boolean>>>(options, [
    "returnUnusedKwargs",
  ]);
  return [Boolean(returnUnusedKwargs), others as unknown as O];
}

/**
 * The content of `scheduler_config.json`, in `subfolder` or else at the root, or of the file that `source` is, the options that say
 * nothing of where, and whether the caller wants those back.
 * @param caller for messages, e.g. "DDIMScheduler.fromPretrained"
 * @throws RepositoryError, ConfigError
 */
export async function readConfig(
  caller: string,
  source: RepositorySource,
  given: LoadOptions & Partial<Returning<boolean>>,
): Promise<[config: Config, others: Config, returnsUnused: boolean]> {
  const [returnsUnused, wanted] = splitReturning(given);
  const options = givenOptions(wanted, OPTION_NAMES);
  const others = Object.fromEntries(Object.entries(options).filter(([key]) => !OPTION_NAMES.includes(key)));
  return [await readClassConfig(caller, CONFIG_NAME, source, options), others, returnsUnused];
}
