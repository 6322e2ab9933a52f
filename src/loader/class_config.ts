/** The config of a class: a file that its repository has in a subfolder or at the root, or one that is given itself. */
import { givenOptions } from "../arguments/spelling.js";
import { readJSON } from "./config.js";
import { RepositoryError } from "./errors.js";
import { joinPath } from "./paths.js";
import { HUB_OPTION_NAMES, openFileOrRepository, type HubOptions, type RepositorySource } from "./repository.js";

/** Where a config is. null is as nothing, as Python's None. */
export interface ConfigPlace extends HubOptions {
  /** Where it is looked for before the repository's root. Means nothing where the source is the file. */
  subfolder?: string | null;
}

/** Names of all ConfigPlace. */
export const CONFIG_PLACE_NAMES: readonly string[] = ["subfolder", ...HUB_OPTION_NAMES];

/**
 * The content of a class's config, as it is in the file.
 * @param caller for messages, e.g. "DDIMScheduler.fromPretrained"
 * @param name of the file in a repository
 * @param source a repository, or the path of the file (Node), of whatever name
 * @param place null is as none
 * @throws RepositoryError, ConfigError; TypeError for wrong options
 */
export async function readClassConfig(
  caller: string,
  name: string,
  source: RepositorySource,
  place: ConfigPlace | null | undefined,
): Promise<Record<string, unknown>> {
  const { subfolder, ...options } = givenOptions(place, CONFIG_PLACE_NAMES, caller);
  const { repository, file } = await openFileOrRepository(source, options);
  if (file !== undefined) return readJSON(repository, file);
  const path = joinPath(subfolder, name);
  for (const candidate of new Set([path, name]))
    if (await repository.open(candidate)) return readJSON(repository, candidate);
  const missing = path === name ? `no ${name}; does it lie in a subfolder?` : `neither ${path} nor ${name}`;
  throw new RepositoryError(`${caller}: ${repository.name} has ${missing}`);
}
