import { inspect } from "node:util";

/** The command line is wrong: exit code 2, and a hint where the help is. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** @throws UsageError for the first of the options `names` that was given and does not go with models of this class */
export function refuseOptions<K extends string>(
  className: string,
  values: Partial<Record<K, string>>,
  names: readonly NoInfer<K>[],
): void {
  for (const name of names)
    if (values[name] !== undefined) throw new UsageError(`--${name} does not go with a ${className}`);
}

/** Longer messages (a shader with its source, hundreds of missing keys) are cut. */
const LONGEST = 1500;

/**
 * Says on stderr, in one line, what went wrong; with DEBUG=1 the error with its stack follows.
 * @param command whose help explains wrong usage
 * @returns the exit code
 */
export function reportError(error: unknown, interrupted: boolean, command?: string): number {
  console.error(`webgpu-diffusers: ${interrupted ? "interrupted" : sentence(error, command)}`);
  const { DEBUG } = process.env;
  if (DEBUG && DEBUG !== "0") console.error(inspect(error));
  if (interrupted) return 130;
  return error instanceof UsageError ? 2 : 1;
}

function sentence(error: unknown, command: string | undefined): string {
  const text = (error instanceof Error ? error.message || error.name : String(error)).replace(/\s+/g, " ").trim();
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (DEBUG=1 shows all)` : text;
  const help = ["webgpu-diffusers", ...(command === undefined ? [] : [command]), "--help"].join(" ");
  return error instanceof UsageError ? `${cut} (${help} explains)` : cut;
}
