/**
 * Writes a repository of Stable Diffusion 1.5's size (2.13 GB): its configs, and float16 weights drawn at random, scaled so that
 * activations stay near one. For memory and speed; the pictures are noise. The tokenizer is the embedded model's.
 */
import { cp, mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { AutoencoderKL } from "../src/nn/vae/autoencoder_kl.js";
import { CLIPTextModel } from "../src/nn/clip/clip_text_model.js";
import type { Module } from "../src/nn/module.js";
import { layoutWeights } from "../src/nn/weights/save_layout.js";
import { UNet2DConditionModel } from "../src/nn/unet/unet_2d_condition.js";
import { float32ToFloat16, product } from "../src/tensor/dtype.js";
import { Generator } from "../src/tensor/random.js";
import { INDEX, TEXT, UNET, VAE } from "./sd15_configs.js";

/** Numbers drawn; tensors take them from changing places. */
const TABLE = 2 ** 18;

/**
 * @param folder must not exist yet; it does when all is written
 * @param embedded the folder of the package's model
 * @param signal stops between two tensors
 */
export async function makeRepository(folder: string, embedded: string, signal?: AbortSignal): Promise<void> {
  const work = `${folder}.incomplete`;
  try {
    await writeRepository(work, embedded, signal);
    await rename(work, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

async function writeRepository(work: string, embedded: string, signal?: AbortSignal): Promise<void> {
  await mkdir(work, { recursive: true });
  await writeFile(path.join(work, "model_index.json"), JSON.stringify(INDEX, null, 2));
  for (const name of ["tokenizer", "scheduler"])
    await cp(path.join(embedded, name), path.join(work, name), { recursive: true });
  const models = [
    ["unet", "diffusion_pytorch_model", UNET, new UNet2DConditionModel(UNET)],
    ["vae", "diffusion_pytorch_model", VAE, new AutoencoderKL(VAE)],
    ["text_encoder", "model", TEXT, new CLIPTextModel(TEXT)],
  ] as const;
  for (const [name, stem, config, model] of models) {
    await mkdir(path.join(work, name), { recursive: true });
    await writeFile(path.join(work, name, "config.json"), JSON.stringify(config, null, 2));
    await writeWeights(path.join(work, name), stem, model, signal);
  }
}

async function writeWeights(folder: string, stem: string, model: Module, signal?: AbortSignal): Promise<void> {
  const shapes = new Map([...model.parameters()].map(([key, { shape }]) => [key, shape]));
  const tensors = [...shapes].map(([key, shape]) => ({ key, shape }));
  const { files } = layoutWeights(tensors, { stem, dtype: "float16", maxShardSize: "10GB" });
  const normals = new Generator().manualSeed(0).randn([TABLE]);
  const scaled = new Map<number, Buffer>();
  let place = 0;
  for (const { name, header, keys } of files) {
    const file = await open(path.join(folder, name), "w");
    try {
      await file.write(header);
      for (const key of keys) {
        signal?.throwIfAborted();
        const shape = shapes.get(key)!;
        const { mean, std } = distribution(key, shape);
        const id = mean + std;
        let table = scaled.get(id);
        if (!table) {
          const bits = float32ToFloat16(normals.map((x) => mean + std * x));
          scaled.set(id, (table = Buffer.from(bits.buffer)));
        }
        for (let left = 2 * product(shape); left > 0;) {
          place = (place + 2 * 7919) % table.length;
          const piece = table.subarray(place, place + left);
          left -= (await file.write(piece)).bytesWritten;
        }
      }
    } finally {
      await file.close();
    }
  }
}

/** Norms near one, biases near zero, and products that keep the variance. */
function distribution(key: string, shape: readonly number[]): { mean: number; std: number } {
  if (shape.length === 1) return key.endsWith(".bias") ? { mean: 0, std: 0.01 } : { mean: 1, std: 0.02 };
  if (key.includes("embedding")) return { mean: 0, std: 0.02 };
  return { mean: 0, std: 1 / Math.sqrt(product(shape.slice(1))) };
}
