/** Files of LoRA weights that are made and not stored, as scripts/make_lora.py makes them. */
import type { Repository } from "../../src/index.js";
import { float32ToFloat16 } from "../../src/tensor/dtype.js";
import { readFixtureJSON } from "./files.js";
import { memoryFile } from "./goldens.js";
import { fnv } from "./made_weights.js";
import { writeSafetensors, type RawTensor } from "./repositories.js";

/** One entry of pipelines/lora.json's files. */
export interface LoraGolden {
  model: "sd15" | "sdxl";
  /** Of the keys of a layer's two matrices. */
  endings: [down: string, up: string];
  /** Of the waves. */
  size: number;
  alpha: number | null;
  metadata: Record<string, string>;
  layers: [name: string, rank: number, shape: number[]][];
}

export interface LoraRun {
  loaded: string[];
  steps: [method: string, ...unknown[]][];
  options: Record<string, unknown>;
  active: string[][];
  adapters: Record<string, string[]>;
  shape: number[];
  latents: number[];
}

export const readLoraGoldens = (): Promise<{ files: Record<string, LoraGolden>; runs: LoraRun[] }> =>
  readFixtureJSON("pipelines/lora.json");

/** Waves whose phase is that of the key. */
function wave(key: string, shape: readonly number[], size: number): Float32Array<ArrayBuffer> {
  const phase = fnv(key) % 1000;
  const count = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: count }, (_, i) => size * Math.sin(phase + 0.7 * i));
}

/** The tensors of a file. */
export function loraTensors({ layers, endings, size, alpha }: LoraGolden): Map<string, RawTensor> {
  const tensors = new Map<string, RawTensor>();
  const add = (key: string, shape: number[], values: Float32Array<ArrayBuffer>): unknown =>
    tensors.set(key, { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) });
  for (const [name, rank, [out, ...rest]] of layers) {
    const [down, up] = endings.map((ending) => name + ending);
    const shapes = { [down]: [rank, ...rest], [up]: [out, rank, ...rest.slice(1).map(() => 1)] };
    for (const [key, shape] of Object.entries(shapes)) add(key, shape, wave(key, shape, size));
    if (alpha !== null) add(`${name}.alpha`, [], Float32Array.of(alpha));
  }
  return tensors;
}

export function inHalves(tensors: ReadonlyMap<string, RawTensor>): Map<string, RawTensor> {
  const halves = [...tensors].map(([key, { shape, bytes }]) => {
    const { buffer } = float32ToFloat16(new Float32Array(bytes.slice().buffer));
    return [key, { dtype: "F16", shape, bytes: new Uint8Array(buffer) }] as const;
  });
  return new Map(halves);
}

/** A repository of such files alone. */
export const loraRepository = (files: Readonly<Record<string, Uint8Array>>): Repository => ({
  name: "made LoRAs",
  open: async (path) => (Object.hasOwn(files, path) ? memoryFile(files[path], path) : null),
});

export const loraFile = (golden: LoraGolden, tensors = loraTensors(golden)): Uint8Array =>
  writeSafetensors(tensors, golden.metadata);
