/** What scripts/make_controlnet_pictures.py wrote, and the models that it was written with. */
import {
  ControlNetModel,
  type ControlNetUnionModel,
  openRepository,
  UNet2DConditionModel,
  type ImageInput,
  type RawImage,
  type Repository,
} from "../../src/index.js";
import { readJSON } from "../../src/loader/config.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import { memoryFile } from "./goldens.js";
import { madeWeights } from "./made_weights.js";
import { maskPicture, picture, tensor } from "./pictures.js";
import { ramp } from "./sdxl_pictures.js";

export interface ControlNetRun {
  /** Without "StableDiffusion" and "Pipeline". */
  pipeline: string;
  /** Of a fixture, or a key of `unets`. */
  unet: string;
  nets: string[];
  scheduler: string;
  /** To begin with, and where it is drawn anew. */
  image: string | null;
  mask: string | null;
  /** What the nets read. */
  control: string;
  options: Record<string, unknown>;
  /** Drawn from the first generator when the call is over. */
  after: number[];
  shape: number[];
  images: number[];
}

interface Goldens {
  /** Configs of nets with made weights. */
  nets: Record<string, Record<string, unknown>>;
  /** What differs in the configs of UNets with made weights. */
  unets: Record<string, object>;
  runs: ControlNetRun[];
  /** What nets compute alone: the last residual of the way down and the middle's. */
  models: { name: string; shape: number[]; down: number[]; mid: number[] }[];
}

export const CONTROLNET_PICTURES = await readFixtureJSON<Goldens>("pipelines/controlnet_pictures.json");

const BOX = [8, 0, 40, 25];
export const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "48x32": () => picture(48, 32),
  "61x45": () => picture(61, 45),
  two: () => [picture(48, 32), picture(61, 45)],
  tensor: () => tensor(50, 34, "nhwc"),
  latents: () => ramp(-2, 2, [1, 4, 4, 6]),
  "96x64": () => picture(96, 64),
};
export const MASKS: Record<string, () => RawImage> = {
  "48x32": () => maskPicture(48, 32, BOX),
  "61x45 rgb": () => maskPicture(61, 45, BOX, 3),
  "96x64": () => maskPicture(96, 64, [40, 20, 60, 30]),
};

/** A repository of one model with made weights. */
export function madeModel(
  name: string,
  Class: typeof ControlNetModel | typeof ControlNetUnionModel | typeof UNet2DConditionModel,
  config: object,
): Repository {
  const shapes = [...new Class({ ...config }).parameters()].map(([key, { shape }]) => [key, shape] as const);
  const files: Record<string, Uint8Array> = {
    "config.json": new TextEncoder().encode(JSON.stringify(config)),
    "diffusion_pytorch_model.safetensors": madeWeights(new Map(shapes)),
  };
  return { name, open: (path) => Promise.resolve(path in files ? memoryFile(files[path], path) : null) };
}

/** A ControlNet of the fixtures. */
export function controlNet(name: string, dtype: "float32" | "float16" = "float32"): Promise<ControlNetModel> {
  const folder = fixturePath("models/repos/controlnet");
  if (name === "sd") return ControlNetModel.fromPretrained(folder, { dtype });
  if (name === "sd bgr")
    return ControlNetModel.fromPretrained(folder, { dtype, config: { controlnet_conditioning_channel_order: "bgr" } });
  return ControlNetModel.fromPretrained(madeModel(name, ControlNetModel, CONTROLNET_PICTURES.nets[name]), { dtype });
}

/** A UNet with made weights. @param repo whose config it has but for some keys */
export async function madeUNet(name: string, repo: string): Promise<UNet2DConditionModel> {
  const base = await openRepository(fixturePath(`models/repos/${repo}`));
  const config = { ...(await readJSON(base, "unet/config.json")), ...CONTROLNET_PICTURES.unets[name] };
  return UNet2DConditionModel.fromPretrained(madeModel(name, UNet2DConditionModel, config));
}
