/** What scripts/make_controlnet_union.py wrote, and the models that it was written with. */
import { ControlNetUnionModel } from "../../src/index.js";
import { madeModel } from "./controlnet_pictures.js";
import { readFixtureJSON } from "./files.js";

/** Names of pictures, as a call takes these. */
export type Named = string | readonly Named[];

export interface UnionRun {
  /** Without "StableDiffusion" and "Pipeline". */
  pipeline: string;
  nets: string[];
  scheduler: string;
  /** To begin with, and where it is drawn anew. */
  image: string | null;
  mask: string | null;
  /** What the nets read, and its kinds. */
  control: Named;
  mode: number | number[];
  options: Record<string, unknown>;
  /** Drawn from the first generator when the call is over. */
  after: number[];
  shape: number[];
  images: number[];
}

interface Goldens {
  /** Configs of nets with made weights. */
  nets: Record<string, Record<string, unknown>>;
  runs: UnionRun[];
  /** Two pictures in float16, guidance 2. */
  half: { after: number[]; images: number[] };
  /** What nets compute alone: the last residual of the way down and the middle's. */
  models: {
    name: string;
    modes: number[];
    options: Record<string, unknown>;
    shape: number[];
    down: number[];
    mid: number[];
  }[];
}

export const CONTROLNET_UNION = await readFixtureJSON<Goldens>("pipelines/controlnet_union.json");

/** A union of ControlNets of the fixtures. */
export const controlNetUnion = (name: string, options: object = {}): Promise<ControlNetUnionModel> =>
  ControlNetUnionModel.fromPretrained(madeModel(name, ControlNetUnionModel, CONTROLNET_UNION.nets[name]), options);
