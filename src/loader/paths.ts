import { shown } from "../arguments/shown.js";
import { quote, RepositoryError } from "./errors.js";

/** Names that Windows gives to devices, whatever the extension. */
const DEVICE_NAME = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$/i;

function fault(path: string): string | null {
  if (path === "") return "it is empty";
  if (path.length > 1024) return `it has ${path.length} characters, more than 1024`;
  if (/[\u0000-\u001f\u007f]/.test(path)) return "it holds a control character";
  if (path.includes("\\")) return "it holds a backslash";
  if (path.startsWith("/")) return "it is absolute";
  if (path.includes(":")) return "it holds a colon (a drive or a scheme)";
  if (/%[0-9a-f]{2}/i.test(path)) return "it holds a percent escape";
  for (const part of path.split("/")) {
    if (part === "") return "it has an empty part";
    if (part === "." || part === "..") return `it holds the part "${part}"`;
    if (part.length > 255) return "one part has more than 255 characters";
    if (/[. ]$/.test(part)) return `the part ${quote(part)} ends in a dot or a space`;
    if (DEVICE_NAME.test(part)) return `the part ${quote(part)} names a device on Windows`;
  }
  return null;
}

/**
 * Checks a path inside a repository. Such paths come from `model_index.json`, from index files and from callers, so they
 * must not be able to leave the repository on any system.
 *
 * @returns `path` itself, relative, with forward slashes.
 * @throws RepositoryError naming the path and its fault.
 */
export function checkPath(path: string): string {
  const wrong = typeof path === "string" ? fault(path) : `it is a ${typeof path}`;
  if (wrong !== null) {
    throw new RepositoryError(
      `repository path ${shown(path)}: ${wrong}; a path has parts joined by "/", as unet/config.json`,
    );
  }
  return path;
}

/** Joins a subfolder (may be empty or undefined) and a file name into a checked path. */
export function joinPath(subfolder: string | undefined, name: string): string {
  if (subfolder !== undefined && typeof subfolder !== "string") return checkPath(subfolder);
  return checkPath(subfolder ? `${subfolder.replace(/\/+$/, "")}/${name}` : name);
}

/** Checks the range of a `read` call; shared by every kind of file. Throws RepositoryError. */
export function checkRange(file: string, size: number, start: number, end: number): void {
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= size)) {
    throw new RepositoryError(`${file}: bytes [${start}, ${end}) are outside the file, which has ${size}`);
  }
}
