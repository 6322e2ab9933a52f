import tseslint from "typescript-eslint";

// "One way in": one allocator makes every buffer, one file asks the browser for its GPU, and node: modules stay in
// files that browsers never load.
const allocator = {
  selector: "MemberExpression[property.name='createBuffer']",
  message: "Only src/tensor/memory.ts makes GPU buffers.",
};
const gpu = {
  selector:
    "MemberExpression[property.name='gpu'][object.name='navigator'], MemberExpression[property.name='gpu'][object.property.name='navigator']",
  message: "Only src/tensor/adapters.ts uses navigator.gpu.",
};
const nodeImport = {
  selector:
    "ImportExpression[source.value=/^node:/], ImportDeclaration[source.value=/^node:/], ExportNamedDeclaration[source.value=/^node:/], CallExpression[callee.name='require']",
  message: "node: modules only in *_node.ts files, which are reached by a dynamic import.",
};
const restrict = (...rules) => ({ "no-restricted-syntax": ["error", ...rules] });

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "models/", "test/fixtures/"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-var": "error",
      "prefer-const": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  { files: ["src/**/*.ts", "kernels/**/*.ts"], rules: restrict(allocator, gpu, nodeImport) },
  { files: ["bench/**/*.ts"], rules: restrict(allocator, gpu) },
  { files: ["src/**/*_node.ts", "src/cli/**/*.ts"], rules: restrict(allocator, gpu) },
  { files: ["src/tensor/memory.ts"], rules: restrict(gpu, nodeImport) },
  { files: ["src/tensor/adapters.ts"], rules: restrict(allocator, nodeImport) },
  // The configuration file that puppeteer reads is CommonJS.
  { files: ["**/*.cjs"], rules: { "@typescript-eslint/no-require-imports": "off" } },
);
