import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { RepositoryError } from "../errors.js";
import { checkEndpoint, checkToken, DEFAULT_ENDPOINT, type GivenHubOptions } from "./hub_options.js";

const isTrue = (name: string): boolean => /^(1|on|yes|true)$/i.test(process.env[name] ?? "");

/** As Python's os.path.expandvars and expanduser. */
const expand = (path: string): string =>
  path
    .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, a?: string, b?: string) => process.env[a ?? b ?? ""] ?? all)
    .replace(/^~(?=\/|\\|$)/, () => homedir());

const home = (): string =>
  expand(process.env.HF_HOME || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"));

/** The folder that Python's huggingface_hub would use. */
export function cacheFolder({ cacheDir }: GivenHubOptions): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = process.env;
  return resolve(expand(cacheDir ?? (HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(home(), "hub"))));
}

export function hubEndpoint({ endpoint }: GivenHubOptions): string {
  return checkEndpoint(endpoint ?? (process.env.HF_ENDPOINT || DEFAULT_ENDPOINT));
}

/** Why the network must not be used; null if it may be. */
export function whyOffline({ localFilesOnly }: GivenHubOptions): string | null {
  if (localFilesOnly) return "localFilesOnly is set";
  return ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find(isTrue)?.concat(" is set") ?? null;
}

/**
 * The option, or else the stored token: HF_TOKEN, or the file that `hf auth login` writes.
 * @throws RepositoryError where the stored one is asked for (true) and there is none
 */
export async function hubToken({ token }: GivenHubOptions): Promise<string | undefined> {
  if (token === false) return undefined;
  if (token !== undefined && token !== true) return checkToken(token);
  if (token === undefined && isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return undefined;
  const stored = await storedToken();
  if (stored !== undefined || token === undefined) return stored;
  throw new RepositoryError(
    "token: true asks for the stored token, and there is none; log in with `hf auth login`, or set HF_TOKEN",
  );
}

async function storedToken(): Promise<string | undefined> {
  const file = process.env.HF_TOKEN_PATH ? expand(process.env.HF_TOKEN_PATH) : join(home(), "token");
  const found =
    process.env.HF_TOKEN || process.env.HUGGING_FACE_HUB_TOKEN || (await readFile(file, "utf8").catch(() => ""));
  return found.trim() === "" ? undefined : checkToken(found.trim());
}

/** Python's client waits this long for a silent server, too: HF_HUB_DOWNLOAD_TIMEOUT, by default 10 s. */
export function hubTimeout(): number {
  const seconds = Number(process.env.HF_HUB_DOWNLOAD_TIMEOUT);
  return seconds > 0 ? Math.min(seconds, 86_400) * 1000 : 10_000;
}
