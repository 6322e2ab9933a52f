import { dirname, resolve, sep } from "node:path";
import type { Plugin } from "vitest/config";

const ROOT = resolve(import.meta.dirname, "../..");
const SOURCES = ["src", "kernels"].map((folder) => resolve(ROOT, folder) + sep);

/**
 * Has tests import the built library where they name its sources. `npm test` builds it first, so that what is tested is what ships, and
 * Node loads it by itself: each file has a process of its own, in which Vitest's module runner took 1.5 s for the library and Node 0.4 s.
 */
export function builtLibrary(): Plugin {
  return {
    name: "built-library",
    enforce: "pre",
    resolveId(source, importer) {
      if (importer === undefined || !source.startsWith(".") || !source.endsWith(".js")) return null;
      const path = resolve(dirname(importer), source);
      return SOURCES.some((folder) => path.startsWith(folder)) ? resolve(ROOT, "dist") + path.slice(ROOT.length) : null;
    },
  };
}

/** What that resolves to, for Vitest's `server.deps.external`. */
export const BUILT = /\/dist\/(?:src|kernels)\//;
