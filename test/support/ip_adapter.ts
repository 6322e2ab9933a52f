/** Goldens of pictures as prompts, of scripts/make_ip_adapter.py. */
import type { Repository } from "../../src/index.js";
import { readFixtureJSON } from "./files.js";
import { memoryFile } from "./goldens.js";
import { madeWeights } from "./made_weights.js";

type Shapes = Record<string, number[]>;
type Scale = number | Record<string, unknown>;

export interface IPAdapterGoldens {
  encoder: { config: Record<string, unknown>; shapes: Shapes; embeds: number[]; states: number[] };
  /** By repository and kind. */
  files: Record<"sd15" | "sdxl", Record<string, Shapes>>;
  runs: {
    class: string;
    adapters: string[];
    scale: Scale | Scale[] | null;
    images: string[][];
    options: Record<string, number>;
    shape: number[];
    latents: number[];
  }[];
}

export const readIPAdapterGoldens = (): Promise<IPAdapterGoldens> => readFixtureJSON("pipelines/ip_adapter.json");

/** A repository as those on the hub: a folder of adapters for each kind of model, and an image encoder. */
export function ipAdapterRepository({ encoder, files }: IPAdapterGoldens): Repository {
  const all = new Map<string, Uint8Array>([
    ["image/encoder/config.json", new TextEncoder().encode(JSON.stringify(encoder.config))],
    ["image/encoder/model.safetensors", madeWeights(new Map(Object.entries(encoder.shapes)))],
  ]);
  for (const [repo, kinds] of Object.entries(files))
    for (const [kind, shapes] of Object.entries(kinds))
      all.set(`${repo}/${kind}.safetensors`, madeWeights(new Map(Object.entries(shapes))));
  return {
    name: "made adapters",
    open: async (path) => (all.has(path) ? memoryFile(all.get(path)!, path) : null),
  };
}
