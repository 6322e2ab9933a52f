/** A repository, or a file of it, that cannot be found, reached or read. */
export class RepositoryError extends Error {
  override name = "RepositoryError";
}

/** A JSON file (config, index, vocabulary) that is not what it should be. The message begins with the file. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** A model whose folder has no weights under the wanted name. */
export class MissingWeightsError extends ConfigError {}

/** A weight file that is no valid safetensors file. The message begins with the file. */
export class SafetensorsError extends Error {
  override name = "SafetensorsError";
}

/** Shortens a value from an untrusted file for an error message: one line, at most `limit` characters, in quotes. */
export function quote(value: string, limit = 80): string {
  return JSON.stringify(value.length > limit ? `${value.slice(0, limit)}…` : value);
}
