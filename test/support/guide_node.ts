/** The programs of the documents, to be run as they stand. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compileFunction } from "node:vm";
import * as library from "../../src/index.js";

/** The blocks of TypeScript that import something. */
export const programsIn = (markdown: string): string[] =>
  [...markdown.matchAll(/^```ts\n(import [^]*?)^```/gm)].map(([, text]) => text);

/** The other blocks, which go on with what a reader has by then: as modules, to be compiled. @param given declarations of that */
export const snippetsIn = (markdown: string, given: string): string[] =>
  [...markdown.matchAll(/^```ts\n(?!import )([^]*?)^```/gm)].map(([, text]) => {
    const used = Object.keys(library).filter((name) => new RegExp(`\\b${name}\\b`).test(given + text));
    return `import { ${used.join(", ")} } from "webgpu-diffusers";\n${given}{\n${text}}\n`;
  });

/** Those of a file in docs/, in order; they have no types to be stripped. */
export const programsOf = (document: string): string[] =>
  programsIn(readFileSync(fileURLToPath(new URL(`../../docs/${document}`, import.meta.url)), "utf8"));

/**
 * Runs a program whose imports are the library of the sources.
 * @returns the variables of these names at its end
 */
export function runProgram<Name extends string>(code: string, names: readonly Name[]): Promise<Record<Name, unknown>> {
  const body = code.replace(/import (\{[^}]*\}) from "webgpu-diffusers";/g, "const $1 = library;");
  const run = compileFunction(`return (async () => {${body}\nreturn { ${names.join(", ")} };})();`, ["library"]);
  return (run as (given: typeof library) => Promise<Record<Name, unknown>>)(library);
}
