/// <reference types="@webgpu/types" preserve="true" />
/** The same, for TypeScript before 6: later ones have WebGPU's types in lib.dom, and take them twice for an error. */
export * from "./index.js";
