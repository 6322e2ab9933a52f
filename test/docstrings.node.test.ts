// Editors show what stands before a declaration, and nothing of a file's head: every public name says what it is.
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const ENTRY = fileURLToPath(new URL("../src/index.ts", import.meta.url));

test("every name that the package exports has a docstring", () => {
  const { config } = ts.readConfigFile(fileURLToPath(new URL("../tsconfig.json", import.meta.url)), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson((config as { compilerOptions: object }).compilerOptions, ".");
  const program = ts.createProgram([ENTRY], { ...options, types: [] });
  const checker = program.getTypeChecker();
  const names = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(ENTRY)!)!);
  const silent = names.filter((name) => {
    const symbol = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
    return symbol.getDocumentationComment(checker).length === 0 && symbol.getJsDocTags(checker).length === 0;
  });
  expect(names.length).toBeGreaterThan(200);
  expect(silent.map(({ name }) => name)).toEqual([]);
});
