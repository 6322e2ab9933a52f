/** What scripts/make_depth.py wrote, and the models that it was written with. */
import { DPTForDepthEstimation, Tensor, type Repository } from "../../src/index.js";
import { readFixtureJSON } from "./files.js";
import { fnv, madeRepository, madeWeights, shapesOf, uniform } from "./made_weights.js";
import { withUNet } from "./other_unet.js";
import { changed } from "./repositories.js";

type Config = Record<string, unknown>;

export interface DepthModel {
  name: string;
  config: Config;
  /** Of the pictures. */
  side: number;
  count: number;
  /** Modules whose results are kept. */
  kept: string[];
}

interface Goldens {
  models: DepthModel[];
  /** Configs of the pipeline's depth estimator and feature extractor. */
  estimator: Config;
  processor: Config;
  processed: {
    form: Config;
    size: [number, number];
    shape: number[];
    sum: number;
    /** Of the float32 numbers. */
    sha256: string;
  }[];
  runs: {
    scheduler: string;
    image: string;
    options: Config;
    /** Drawn from the first generator when the call is over. */
    after: number[];
    shape: number[];
    images: number[];
  }[];
  half: { after: number[]; images: number[] };
}
export const DEPTH = await readFixtureJSON<Goldens>("pipelines/depth.json");

/** A depth estimator with made weights. */
export const estimatorRepository = (config: Config): Repository =>
  madeRepository("depth", config, new DPTForDepthEstimation(config), "model");

/** The tiny model of Stable Diffusion 1.5 with another UNet and a depth estimator, as stabilityai/stable-diffusion-2-depth has its files. */
export async function depthRepository(): Promise<Repository> {
  const index = {
    _class_name: "StableDiffusionDepth2ImgPipeline",
    depth_estimator: ["transformers", "DPTForDepthEstimation"],
    feature_extractor: ["transformers", "DPTFeatureExtractor"],
    // This class has none.
    ...{ safety_checker: undefined, requires_safety_checker: undefined },
  };
  const { estimator, processor } = DEPTH;
  return changed(await withUNet("sd15", { index, unet: { in_channels: 5 } }), {
    "depth_estimator/config.json": estimator,
    "depth_estimator/model.safetensors": madeWeights(shapesOf(new DPTForDepthEstimation(estimator))),
    "feature_extractor/preprocessor_config.json": processor,
  });
}

/** As scripts/make_depth.py makes it. */
export function depths(shape: readonly number[]): Tensor {
  const [size, seed] = [shape.reduce((a, b) => a * b, 1), fnv("depth")];
  return Tensor.from(
    Float32Array.from({ length: size }, (_, i) => uniform(seed, i) * 20 + 30),
    shape,
  );
}
