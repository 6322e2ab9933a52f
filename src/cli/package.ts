import { createRequire } from "node:module";

/** The version in package.json, which the package finds by its own name from dist as from src. */
export function packageVersion(): string {
  const { version } = createRequire(import.meta.url)("webgpu-diffusers/package.json") as { version: string };
  return version;
}
