import { ConfigError } from "./errors.js";

/** Files that a repository should have and has not. */
export class MissingFilesError extends ConfigError {
  /**
   * @param paths inside the repository
   * @param why where more is known than that they are not there
   * @param note what else is to be said, such as the cure
   */
  constructor(
    readonly paths: readonly string[],
    readonly repository: string,
    readonly why?: string,
    readonly note = "",
  ) {
    const list = paths.length > 1 ? `${paths.slice(0, -1).join(", ")} and ${paths[paths.length - 1]}` : paths[0];
    const none = paths.length > 1 ? "no such files" : "no such file";
    super(`${list}: ${none} in ${repository}${why ? ` (${why})` : ""}${note}`);
  }
}

/**
 * Runs all checks, one after another, and throws one error that names every file they found missing. Other errors are
 * left to the load itself, which meets them again.
 */
export async function requireAll(checks: readonly (() => Promise<unknown>)[]): Promise<void> {
  const found: MissingFilesError[] = [];
  for (const check of checks)
    await check().catch((error: unknown) => {
      if (error instanceof MissingFilesError) found.push(error);
    });
  if (found.length === 0) return;
  const paths = [...new Set(found.flatMap((error) => error.paths))];
  const notes = [...new Set(found.map(({ note }) => note))];
  throw new MissingFilesError(paths, found[0].repository, found[0].why, notes.join(""));
}
