/** What scripts/make_sdxl_pictures.py wrote, and the models that it was written with. */
import { expect } from "vitest";
import { Generator, Tensor, type AnyPipeline, type Repository } from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import { withUNet as withOtherUNet } from "./other_unet.js";
import { differences } from "./pipelines.js";

export interface XLPictureRun {
  model: "base" | "refiner" | "masked";
  scheduler: string;
  image: string;
  /** Of inpainting. */
  mask: string | null;
  options: Record<string, unknown>;
  /** Drawn from the first generator when the call is over. */
  after: number[];
  shape: number[];
  images: number[];
}

interface Goldens {
  /** What differs in the configs of UNets with made weights. */
  unets: Record<"refiner" | "masked", object>;
  runs: XLPictureRun[];
  ensemble: { first: number[]; last: number[] };
  /** Of a picture of 40x24 in float16, strength 0.6. */
  half: { pipeline: string; after: number[]; images: number[] }[];
}

export const XL_PICTURES = await readFixtureJSON<Goldens>("pipelines/sdxl_pictures.json");
export const XL_REPO = fixturePath("models/repos/sdxl");

/** The tiny model with another UNet: the refiner, without the first text encoder, or one that takes masks. */
export async function withUNet(name: "refiner" | "masked", className: string): Promise<Repository> {
  const none = [null, null];
  const refiner = { requires_aesthetics_score: true, text_encoder: none, tokenizer: none };
  return withOtherUNet("sdxl", {
    index: { _class_name: className, ...(name === "refiner" && refiner) },
    unet: XL_PICTURES.unets[name],
  });
}

export const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);

/** Numbers in even steps. */
export function ramp(from: number, to: number, shape: number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: size }, (_, i) => from + ((to - from) * i) / (size - 1));
  return Tensor.from(values, shape);
}

/** The result as numbers; it is disposed. */
export async function numbers({ images }: { images: Tensor }): Promise<Float32Array> {
  const values = (await images.data()) as Float32Array;
  images.dispose();
  return values;
}

/** Disposes the tensors among values and lists of them. */
export function dispose(options: object): void {
  for (const value of Object.values(options).flat() as unknown[]) if (value instanceof Tensor) value.dispose();
}

/** What a pipeline in float16 draws next to what diffusers' does; it is disposed. */
export async function expectHalf(pipeline: AnyPipeline, options: object): Promise<void> {
  pipeline.setProgressBarConfig({ disable: true });
  const golden = XL_PICTURES.half.find(({ pipeline: name }) => name === pipeline.className)!;
  const generator = seeded(8);
  const call = { strength: 0.6, numInferenceSteps: 5, outputType: "latent", generator, ...options };
  const got = await numbers((await pipeline("a photo of a cat", call)) as { images: Tensor });
  pipeline.dispose();
  // Both round differently on the way. With other noise the mean is 1.
  expect(differences(got, golden.images).mean).toBeLessThan(0.05);
  expect(differences(generator.randn([4]), golden.after).worst).toBeLessThan(1e-4);
}
