/** One file of a repository that a caller names: by path, by address, or by repository and name. */
import { whileItLasts } from "../arguments/signal.js";
import { quote, RepositoryError } from "./errors.js";
import { joinPath } from "./paths.js";
import {
  findLocalFile,
  openFileOrRepository,
  openRepository,
  type HubOptions,
  type Repository,
  type RepositoryFile,
  type RepositorySource,
} from "./repository.js";

export interface FilePlace extends HubOptions {
  /** Folder of the file inside the repository. */
  subfolder?: string | null;
  /** Name of the file. */
  weightName?: string | null;
}

/** The repository can be read, and has not the file. */
export class NoSuchFileError extends RepositoryError {}

/** @throws NoSuchFileError; RepositoryError where the repository cannot be read */
export type OpenFile = (signal?: AbortSignal) => Promise<RepositoryFile>;

/** A file, and where others beside it are. */
export interface FileSource {
  readonly repository: Repository;
  /** Of the file, inside the repository; "" for its root. */
  readonly folder: string;
  /** Opens the file, as often as it is read; the signal of the search has no part in it. */
  readonly open: OpenFile;
}

/**
 * @param source a repository, or the path or address of the file; pages of the hub are understood as its files
 * @param otherwise the file's name where none is said
 */
export async function findFileSource(
  caller: string,
  source: RepositorySource,
  { subfolder, weightName, signal, ...options }: FilePlace,
  otherwise?: string,
): Promise<FileSource> {
  const [at, name, revision] = splitAddress(source);
  // It would be taken for an id on the hub.
  if (typeof at === "string" && /\.safetensors$/i.test(at) && !(await findLocalFile(at)))
    throw new RepositoryError(`${caller}: ${quote(at, 200)}: no such file`);
  // The repository is asked again when the file is read again, long after the signal may have fired.
  const { repository, file } = await whileItLasts(signal ?? undefined, ({ signal: own }) =>
    openFileOrRepository(at, { ...options, signal: own, ...(revision !== undefined && { revision }) }),
  );
  const chosen = weightName ?? name ?? otherwise;
  if (file === undefined && chosen === undefined)
    throw new RepositoryError(
      `${caller}: ${repository.name} is no .safetensors file; give the path or address of one, or { weightName: "….safetensors" }`,
    );
  const path = file ?? joinPath(subfolder ?? undefined, chosen!);
  // A name may have folders of its own, which are none of the caller's.
  const folder =
    file === undefined && weightName ? (subfolder ?? "") : path.slice(0, Math.max(0, path.lastIndexOf("/")));
  const open: OpenFile = async (signal) => {
    const opened = await (await openRepository(repository, { signal })).open(path);
    if (opened) return opened;
    const cure = weightName ? "" : '; say what the file is called: { weightName: "….safetensors" }';
    const why = repository.whyMissing?.(path);
    throw new NoSuchFileError(
      `${caller}: ${repository.name} has no ${path}${why === undefined ? "" : ` (${why})`}${cure}`,
    );
  };
  return { repository, folder, open };
}

/** A page or a download of a file on the hub. */
const HUB = /^https?:\/\/(?:huggingface\.co|hf\.co)\/([\w.-]+\/[\w.-]+)\/(?:blob|resolve)\/([^/]+)\/([^?#]+)$/;

/** Where the file of an address lies, and its name; of one on the hub also the revision. */
function splitAddress(source: RepositorySource): [at: RepositorySource, name?: string, revision?: string] {
  const address = source instanceof URL ? source.href : source;
  if (typeof address !== "string" || !/^https?:/i.test(address)) return [source];
  const hub = HUB.exec(address);
  if (hub) return [hub[1], decodeURIComponent(hub[3]), decodeURIComponent(hub[2])];
  if (!/\.safetensors$/i.test(address)) return [source];
  const end = address.lastIndexOf("/") + 1;
  return [address.slice(0, end), decodeURIComponent(address.slice(end))];
}
