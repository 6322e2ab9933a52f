/** Folders all of whose files are known, with an address each: bundlers rename files, and put small ones into `data:` URLs. */
export type Addresses = Readonly<Record<string, () => URL>>;

// By name, and not imported where repositories are opened: see embedded.ts.
const folders = new Map<string, Addresses>();

/**
 * Makes a folder known by the name that is returned: its address, where its files still lie in one.
 * @param path how the addresses of its files end, but for the files' own paths
 * @param caller the address of the module that has them, as compiled; of the source itself (vitest, tsx) they are one folder higher
 */
export function addressedFolder(path: string, compiled: Addresses, caller: string | undefined): string {
  const files = caller?.endsWith(".ts") ? fromSource(path, Object.keys(compiled), caller) : compiled;
  const name = commonAddress(path, files) ?? `bundled://webgpu-diffusers/${path}`;
  folders.set(name, files);
  return name;
}

/** The files of a folder that is known by this name or address. */
export const addressesIn = (name: string): Addresses | undefined => folders.get(name);

function fromSource(folder: string, paths: readonly string[], caller: string): Addresses {
  const root = new URL(`../../${folder}`, caller);
  return Object.fromEntries(paths.map((path) => [path, () => new URL(path, root)]));
}

function commonAddress(folder: string, files: Addresses): string | undefined {
  const [[path, address]] = Object.entries(files);
  try {
    const { href } = address();
    return href.endsWith(`/${folder}${path}`) ? href.slice(0, -path.length) : undefined;
  } catch {
    return undefined; // no import.meta.url: a bundle that is no ES module; importing the package must not fail for that
  }
}

/** The bytes of a `data:` URL. Not by fetch(), which a page's Content-Security-Policy may forbid (connect-src). */
export function bytesOfDataURL({ href }: URL): Uint8Array<ArrayBuffer> {
  const comma = href.indexOf(",");
  const text = decodeURIComponent(href.slice(comma + 1));
  if (!/;base64$/i.test(href.slice(0, comma))) return new TextEncoder().encode(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
