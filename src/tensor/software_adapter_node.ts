import { brotliDecompressSync } from "node:zlib";
import { createRequire } from "node:module";
import { accessSync, constants, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { shown } from "../arguments/shown.js";

// The npm package @sparticuz/chromium carries, brotli-packed, SwiftShader (a Vulkan driver that runs on the CPU) and a
// Vulkan loader. Unpacked, they give Dawn an adapter on a machine that has neither driver nor loader, without root.
// It knows no shader-f16 and is slow, so it is only ever the second choice.

/** The npm package with SwiftShader: its folder and version. */
export interface ChromiumPackage {
  readonly folder: string;
  readonly version: string;
}

/** Finds the installed `@sparticuz/chromium`, or null where it is absent or has no binaries for this machine. */
export function findChromiumPackage(): ChromiumPackage | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  let folder: string;
  try {
    folder = path.dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium"));
  } catch {
    return null;
  }
  // The package exports no package.json, so walk up from its entry file.
  while (!existsSync(path.join(folder, "bin", "swiftshader.tar.br"))) {
    if (folder === path.dirname(folder)) return null;
    folder = path.dirname(folder);
  }
  const { version } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as { version: string };
  return { folder, version };
}

/** Unpacks SwiftShader once and returns its Vulkan manifest (for VK_ICD_FILENAMES) and loader library. */
export function unpackSwiftShader(source: ChromiumPackage): { manifest: string; loader: string } {
  const folder = cachedFolder(source, `swiftshader-${source.version}`, (target) =>
    extractTar(brotliDecompressSync(readFileSync(path.join(source.folder, "bin", "swiftshader.tar.br"))), target),
  );
  return { manifest: path.join(folder, "vk_swiftshader_icd.json"), loader: path.join(folder, "libvulkan.so.1") };
}

/**
 * A folder of the cache that `fill` writes at most once. It is filled under another name and then renamed, so that an
 * interrupted or a concurrent run never leaves half of it behind.
 */
export function cachedFolder(source: ChromiumPackage, name: string, fill: (target: string) => void): string {
  const parent = cacheRoot(source);
  const folder = path.join(parent, name);
  if (existsSync(folder)) return folder;
  const temporary = mkdtempSync(path.join(parent, `.${name}-`));
  try {
    fill(temporary);
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // otherwise another process was faster, and its copy is as good
  }
  return folder;
}

/** `node_modules/.cache/webgpu-diffusers` beside the package, or a folder of this user's own in the temp folder. */
function cacheRoot(source: ChromiumPackage): string {
  const modules = source.folder.lastIndexOf(`${path.sep}node_modules${path.sep}`);
  if (modules >= 0) {
    const folder = path.join(source.folder.slice(0, modules), "node_modules", ".cache", "webgpu-diffusers");
    try {
      mkdirSync(folder, { recursive: true });
      accessSync(folder, constants.W_OK);
      return folder;
    } catch {
      // a read-only installation: use the temp folder
    }
  }
  return privateTempFolder();
}

/**
 * A folder in the temp folder that belongs to this user alone. Libraries are loaded from it, so a folder that somebody
 * else made under the same name is refused.
 * @throws Error when the folder exists and is not this user's.
 */
export function privateTempFolder(): string {
  const user = process.getuid?.() ?? 0;
  const folder = path.join(os.tmpdir(), `webgpu-diffusers-${user}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || (process.getuid && (stat.uid !== user || (stat.mode & 0o022) !== 0)))
    throw new Error(`${folder}: is not a folder that only you can write; remove it or set TMPDIR`);
  return folder;
}

const BLOCK = 512;

/**
 * Writes the files of a POSIX tar archive below `target`. Only plain files and folders are taken.
 * @throws Error on a name that leaves `target`, on a link or other special member, and on a broken header.
 */
export function extractTar(archive: Uint8Array, target: string): void {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  for (let offset = 0; offset + BLOCK <= bytes.length;) {
    const header = bytes.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) return;
    checkHeader(header, offset);
    const prefix = header.toString("latin1", 257, 262) === "ustar" ? text(header, 345, 155) : "";
    const name = prefix ? `${prefix}/${text(header, 0, 100)}` : text(header, 0, 100);
    const size = octal(header, 124, 12);
    const type = String.fromCharCode(header[156] || 0x30);
    const end = offset + BLOCK + size;
    if (end > bytes.length) throw new Error(`tar: ${name}: the archive ends inside the file`);
    const file = memberPath(target, name);
    if (type === "5") mkdirSync(file, { recursive: true });
    else if (type === "0") {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, bytes.subarray(offset + BLOCK, end), { mode: octal(header, 100, 8) & 0o755 });
    } else throw new Error(`tar: ${name}: only files and folders are unpacked, got type ${shown(type)}`);
    offset = offset + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}

function memberPath(target: string, name: string): string {
  const outside = name === "" || /[\\\0:]/.test(name) || name.startsWith("/") || name.split("/").includes("..");
  if (outside) throw new Error(`tar: a member's name leaves the folder, got ${shown(name)}`);
  return path.join(target, name);
}

/** The header's checksum is the sum of its bytes with the checksum field itself read as spaces. */
function checkHeader(header: Buffer, offset: number): void {
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  if (sum !== octal(header, 148, 8)) throw new Error(`tar: the header at byte ${offset} has a wrong checksum`);
}

function text(header: Buffer, start: number, length: number): string {
  return header.toString("utf8", start, start + length).replace(/\0.*$/s, "");
}

function octal(header: Buffer, start: number, length: number): number {
  const digits = text(header, start, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw new Error(`tar: an octal number was expected, got ${shown(digits)}`);
  return parseInt(digits, 8);
}
