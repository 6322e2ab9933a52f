/** Where schedulers' configs lie. */
import { plainOptions } from "../arguments/options.js";
import { givenOptions } from "../arguments/spelling.js";
import { CONFIG_PLACE_NAMES, readClassConfig, type ConfigPlace } from "../loader/class_config.js";
import type { RepositorySource } from "../loader/repository.js";
import type { Config } from "./config.js";

export const CONFIG_NAME = "scheduler_config.json";

/** Arguments of `fromPretrained` that say where to load from; everything else overrides the config. */
export type LoadOptions = ConfigPlace;

/** With `returnUnusedKwargs` the result is a list whose last entry has what else was given. */
export interface Returning<B extends boolean> {
  returnUnusedKwargs: B;
}

/**
 * Takes `returnUnusedKwargs`, which may have Python's spelling, out of options.
 * @param known the other options that there are
 * @throws TypeError for anything but a plain object
 */
export function splitReturning<O extends object>(
  options: O | null | undefined,
  known: readonly string[],
  caller: string,
): [returnsUnused: boolean, others: O] {
  const given = plainOptions(options, ["returnUnusedKwargs", ...known], caller);
  const { returnUnusedKwargs, ...others } = givenOptions<O & Partial<Returning<boolean>>>(given, [
    "returnUnusedKwargs",
  ]);
  return [Boolean(returnUnusedKwargs), others as unknown as O];
}

/**
 * The content of `scheduler_config.json`, in `subfolder` or else at the root, or of the file that `source` is, the options that say
 * nothing of where, and whether the caller wants those back.
 * @param caller for messages, e.g. "DDIMScheduler.fromPretrained"
 * @throws RepositoryError, ConfigError; TypeError for wrong options
 */
export async function readConfig(
  caller: string,
  source: RepositorySource,
  given: (LoadOptions & Partial<Returning<boolean>>) | null | undefined,
): Promise<[config: Config, others: Config, returnsUnused: boolean]> {
  const [returnsUnused, wanted] = splitReturning(given, CONFIG_PLACE_NAMES, caller);
  const options = givenOptions(wanted, CONFIG_PLACE_NAMES, caller);
  const others = Object.fromEntries(Object.entries(options).filter(([key]) => !CONFIG_PLACE_NAMES.includes(key)));
  return [await readClassConfig(caller, CONFIG_NAME, source, options), others, returnsUnused];
}
