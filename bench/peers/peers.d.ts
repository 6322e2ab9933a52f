// What is used of the other libraries, so that `npm run check` needs none of them. bench/peers/package.json pins them.

declare module "@jax-js/jax" {
  /** Moved by what it is given to; `ref` keeps it. */
  export interface Array {
    readonly ref: this;
    add(other: Array): Array;
    mul(other: Array | number): Array;
    reshape(shape: readonly number[]): Array;
    data(): Promise<ArrayBufferView>;
    gpuBufferSync(): GPUBuffer;
    dispose(): void;
  }
  export function init(...devices: "webgpu"[]): Promise<string[]>;
  export function defaultDevice(device: "webgpu"): string;
  export function getWebGPUDevice(): GPUDevice;
  export function jit<F extends (...inputs: Array[]) => Array>(f: F): F & { dispose(): void };
  export const numpy: {
    array(values: Float32Array, options: { shape: number[] }): Array;
    matmul(a: Array, b: Array): Array;
    matrixTranspose(x: Array): Array;
  };
  export const nn: {
    silu(x: Array): Array;
    softmax(x: Array, axis: number): Array;
    standardize(x: Array, axis: number, options: { epsilon: number }): Array;
    dotProductAttention(q: Array, k: Array, v: Array): Array;
  };
  export const lax: {
    convGeneralDilated(x: Array, w: Array, strides: number[], padding: [number, number][]): Array;
  };
}

declare module "@tensorflow/tfjs-core" {
  export interface Tensor {
    data(): Promise<Float32Array>;
    dispose(): void;
  }
  interface FusedConv {
    x: Tensor;
    filter: Tensor;
    bias: Tensor;
    strides: number;
    pad: "same";
  }
  export function env(): { set(flag: string, value: boolean): void };
  export function setBackend(name: string): Promise<boolean>;
  export function ready(): Promise<void>;
  export function backend(): object;
  export function tensor(values: Float32Array, shape: number[], dtype: "float32"): Tensor;
  export function tidy(f: () => Tensor): Tensor;
  export function reshape(x: Tensor, shape: number[]): Tensor;
  export function matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  export function softmax(x: Tensor): Tensor;
  export function sigmoid(x: Tensor): Tensor;
  export function rsqrt(x: Tensor): Tensor;
  export function add(a: Tensor, b: Tensor | number): Tensor;
  export function sub(a: Tensor, b: Tensor): Tensor;
  export function mul(a: Tensor, b: Tensor | number): Tensor;
  export function moments(x: Tensor, axes: number[], keepDims: boolean): { mean: Tensor; variance: Tensor };
  export const fused: {
    matMul(inputs: { a: Tensor; b: Tensor; bias?: Tensor }): Tensor;
    conv2d(inputs: FusedConv): Tensor;
  };
}

declare module "@tensorflow/tfjs-backend-webgpu" {
  export {};
}

declare module "onnxruntime-web/webgpu" {
  export interface Tensor {
    getData(): Promise<Float32Array>;
    dispose(): void;
  }
  interface Session {
    run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
    release(): Promise<void>;
  }
  export const Tensor: {
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: "float32"; dims: number[] }): Tensor;
  };
  export const InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  export const env: {
    wasm: { numThreads: number; wasmPaths?: string };
    logLevel: string;
    webgpu: { device: Promise<GPUDevice> };
  };
}
