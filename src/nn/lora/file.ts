/** A file of LoRA weights (Hu et al. 2021, arXiv:2106.09685): its layers, without their numbers as yet. */
import { ConfigError, quote } from "../../loader/errors.js";
import { findFileSource, type FilePlace } from "../../loader/file_source.js";
import type { RepositoryFile, RepositorySource } from "../../loader/repository.js";
import { readSafetensorsHeader, type SafetensorsEntry } from "../../loader/safetensors.js";
import { loraKey, type LoraKey } from "./keys.js";
import { floats } from "./numbers.js";
import { loraScales } from "./scales.js";

/** What is added to a layer's weight: scale * up · down. */
export interface LoraLayer {
  /** [rank, in, …] */
  readonly down: SafetensorsEntry;
  /** [out, rank, …] */
  readonly up: SafetensorsEntry;
  /** alpha / rank, the file's own share. */
  readonly scale: number;
}

export interface LoraFile {
  /** Where it is, for messages. */
  readonly path: string;
  /** Layers by component ("unet", "text_encoder", "text_encoder_2") and name, see LoraKey. */
  readonly components: ReadonlyMap<string, ReadonlyMap<string, LoraLayer>>;
  /** All bytes of the file. */
  read(signal?: AbortSignal): Promise<Uint8Array>;
}

/** diffusers' LORA_WEIGHT_NAME_SAFE. */
const NAME = "pytorch_lora_weights.safetensors";

/**
 * @param source a repository, or the path or address of the file itself
 * @throws RepositoryError, SafetensorsError; ConfigError naming the keys that are none of a LoRA
 */
export async function openLoraFile(caller: string, source: RepositorySource, place: FilePlace): Promise<LoraFile> {
  const { open } = await findFileSource(caller, source, place, NAME);
  const read = async (signal?: AbortSignal): Promise<Uint8Array> => {
    const file = await open(signal);
    try {
      return await file.read();
    } finally {
      await file.close?.();
    }
  };
  const file = await open(place.signal ?? undefined);
  try {
    return { path: file.path, components: await readLayers(caller, file), read };
  } finally {
    await file.close?.();
  }
}

async function readLayers(caller: string, file: RepositoryFile): Promise<LoraFile["components"]> {
  const { path } = file;
  const { entries, metadata } = await readSafetensorsHeader(file);
  const found = new Map<string, LoraKey & Partial<Record<LoraKey["part"], SafetensorsEntry>>>();
  const others: string[] = [];
  for (const entry of entries.values()) {
    const key = loraKey(entry.name);
    if (!key) others.push(entry.name);
    else {
      const id = `${key.component} ${key.layer}`;
      found.set(id, { ...found.get(id), ...key, [key.part]: entry });
    }
  }
  refuseOthers(caller, path, others);
  if (found.size === 0) throw new ConfigError(`${path}: has no weights of a LoRA`);
  const scaleOf = loraScales(path, metadata);
  const components = new Map<string, Map<string, LoraLayer>>();
  for (const { component, layer, down, up, alpha } of found.values()) {
    const rank = down?.shape[0] ?? 0;
    if (!down || !up || rank === 0 || up.shape[1] !== rank) {
      const shapes = [down, up].map((entry) => (entry ? `[${entry.shape.join(", ")}]` : "none"));
      throw new ConfigError(
        `${path}: ${component}'s layer ${quote(layer)} needs two matrices of one rank, and has ${shapes.join(" and ")}`,
      );
    }
    const own = alpha && floats(await file.read(alpha.start, alpha.end), alpha, path)[0];
    if (!components.has(component)) components.set(component, new Map());
    components.get(component)!.set(layer, { down, up, scale: scaleOf(component, layer, rank, own) });
  }
  return components;
}

/** As diffusers: DoRA's scales are left out with a warning, and what it does not know ends the load. */
function refuseOthers(caller: string, path: string, others: readonly string[]): void {
  const unknown = others.filter((key) => !key.endsWith(".dora_scale"));
  if (unknown.length < others.length)
    console.warn(
      `${caller}: ${path} is a DoRA; what its weights are divided by (dora_scale) is left out, as diffusers does`,
    );
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 4).map((key) => quote(key));
  throw new ConfigError(
    `${path}: ${unknown.length} of its keys are none of a LoRA for Stable Diffusion as they are read here: ${shown.join(", ")}` +
      `${unknown.length > 4 ? ", …" : ""}. Those begin with unet., text_encoder., lora_unet_ or lora_te_ and have two matrices for each layer`,
  );
}
