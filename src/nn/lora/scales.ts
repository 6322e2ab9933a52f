/** How much of a LoRA's product counts: alpha / rank, where a file says so. */
import { ConfigError } from "../../loader/errors.js";

/** Peft's config of a component's adapter, as far as it matters here (peft's LoraConfig). */
interface Described {
  lora_alpha?: unknown;
  alpha_pattern?: unknown;
  use_rslora?: unknown;
  use_dora?: unknown;
}

/** Of a layer's path with underscores. @param alpha the one beside the layer's matrices, if there is one */
export type ScaleOf = (component: string, layer: string, rank: number, alpha: number | undefined) => number;

/**
 * @param metadata of the file; diffusers saves the configs of the adapters there
 * @throws ConfigError where they cannot be read, or say DoRA
 */
export function loraScales(file: string, metadata: ReadonlyMap<string, string>): ScaleOf {
  const described = configsOf(file, metadata.get("lora_adapter_metadata"));
  return (component, layer, rank, alpha) => {
    const config = described.get(component);
    if (!config) return (alpha ?? rank) / rank;
    if (config.use_dora) throw new ConfigError(`${file}: is a DoRA (use_dora), which is not read`);
    const own = Object.entries((config.alpha_pattern ?? {}) as object).find(([name]) => isFor(name, layer));
    const chosen = Number(own?.[1] ?? config.lora_alpha ?? 8); // peft's default
    return chosen / (config.use_rslora ? Math.sqrt(rank) : rank);
  };
}

/** Whether a pattern, in files the end of a path or all of it (^), is for the layer. */
function isFor(pattern: string, layer: string): boolean {
  const name = pattern.replace(/^\^/, "").replaceAll(".", "_");
  return layer === name || (!pattern.startsWith("^") && layer.endsWith(`_${name}`));
}

/** "unet.lora_alpha" and so on, by component. */
function configsOf(file: string, text: string | undefined): Map<string, Described> {
  const configs = new Map<string, Record<string, unknown>>();
  if (text === undefined) return configs;
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`${file}: lora_adapter_metadata is no JSON`, { cause });
  }
  for (const [name, value] of Object.entries((all ?? {}) as object)) {
    const dot = name.indexOf(".");
    const component = name.slice(0, dot);
    configs.set(component, { ...configs.get(component), [name.slice(dot + 1)]: value });
  }
  return configs;
}
