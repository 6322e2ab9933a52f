/** wgsl-preprocessor ships neither types nor an entry point, so its one file is imported and declared here. */
declare module "wgsl-preprocessor/wgsl-preprocessor.js" {
  export function wgsl(strings: TemplateStringsArray, ...values: unknown[]): string;
}
