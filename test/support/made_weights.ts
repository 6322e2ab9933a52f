/** Weights that are made and not stored: scripts/make_unet_zoo.py makes the same, bit for bit. */
import type { Repository } from "../../src/loader/repository.js";
import { memoryFile } from "./goldens.js";
import { writeSafetensors, type RawTensor } from "./repositories.js";

/** FNV-1a of an ASCII text, 32 bits. */
export function fnv(text: string): number {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619) >>> 0;
  return hash;
}

/** In [-1, 1): a hash of the key and the position. */
export function uniform(seed: number, i: number): number {
  let x = (Math.imul(i, 0x9e3779b9) + seed) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  x = (x ^ (x >>> 16)) >>> 0;
  return x / 2 ** 31 - 1;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function made(key: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const seed = fnv(key);
  const isMatrix = shape.length >= 2 && !key.includes("positional");
  const [offset, scale] =
    key === "time_proj.weight" && shape.length === 1
      ? [0, 8]
      : isMatrix
        ? [0, Math.sqrt(3 / product(shape.slice(1)))]
        : key.endsWith("weight")
          ? [1, 0.3]
          : [0, 0.2];
  return Float32Array.from({ length: product(shape) }, (_, i) => offset + scale * uniform(seed, i));
}

/** A safetensors file of the given keys and shapes. */
export function madeWeights(shapes: ReadonlyMap<string, readonly number[]>): Uint8Array {
  const tensors = new Map<string, RawTensor>();
  for (const [key, shape] of shapes)
    tensors.set(key, { dtype: "F32", shape: [...shape], bytes: new Uint8Array(made(key, shape).buffer) });
  return writeSafetensors(tensors);
}

/** A model's folder with a config.json and made weights. */
export function madeRepository(
  name: string,
  config: object,
  model: { parameters(): Iterable<[string, { shape: readonly number[] }]> },
  stem = "diffusion_pytorch_model",
): Repository {
  const files: Record<string, Uint8Array> = {
    "config.json": new TextEncoder().encode(JSON.stringify(config)),
    [`${stem}.safetensors`]: madeWeights(shapesOf(model)),
  };
  return { name, open: (path) => Promise.resolve(path in files ? memoryFile(files[path], path) : null) };
}

export const shapesOf = (model: {
  parameters(): Iterable<[string, { shape: readonly number[] }]>;
}): Map<string, readonly number[]> => new Map([...model.parameters()].map(([key, { shape }]) => [key, shape]));

/** What zoo.json knows of a model's keys and shapes. */
export const hashOfShapes = (shapes: ReadonlyMap<string, readonly number[]>): number =>
  fnv(
    [...shapes]
      .map(([key, shape]) => `${key} ${shape.join()}`)
      .sort()
      .join("\n"),
  );
