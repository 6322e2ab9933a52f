/** What files of LoRA weights call their tensors: the four spellings that diffusers reads (loaders/lora_conversion_utils.py). */

/** Where a tensor belongs. */
export interface LoraKey {
  /** "unet", "text_encoder" or "text_encoder_2". */
  component: string;
  /** The layer's path with underscores for dots, which is all that kohya's spelling tells. */
  layer: string;
  part: "down" | "up" | "alpha";
}

/** peft's names of the two matrices behind a layer's path, and diffusers' older ones; of the first the path has a "processor". */
const DOTTED =
  /^(unet|text_encoder|text_encoder_2)\.(.+?)(?:\.lora_(A|B)|(?:\.lora|\.lora_linear_layer|_lora)\.(down|up))\.weight$/;
/** Those of kohya's trainer (sd-scripts). */
const KOHYA = /^lora_(unet|te|te1|te2)_([^.]+)\.(?:lora_(down|up)\.weight|alpha)$/;

const KOHYA_COMPONENTS: Record<string, string> = {
  unet: "unet",
  te: "text_encoder",
  te1: "text_encoder",
  te2: "text_encoder_2",
};

/** Layers of text encoders, when they had the names of a UNet's. */
const OLD_TEXT: Record<string, string> = { to_q: "q_proj", to_k: "k_proj", to_v: "v_proj", to_out: "out_proj" };

/** @returns null for a key of no spelling */
export function loraKey(key: string): LoraKey | null {
  const trained = KOHYA.exec(key);
  if (trained) {
    const [, of, layer, part = "alpha"] = trained;
    return { component: KOHYA_COMPONENTS[of], layer, part: part as LoraKey["part"] };
  }
  const dotted = DOTTED.exec(key);
  if (!dotted) return null;
  const [, component, path, letter, part] = dotted;
  const names = path.split(".").filter((name) => name !== "processor");
  const last = names.at(-1)!;
  if (component !== "unet") names.splice(-1, 1, Object.hasOwn(OLD_TEXT, last) ? OLD_TEXT[last] : last);
  else if (last === "to_out") names.push("0");
  return { component, layer: names.join("_"), part: letter === "A" || part === "down" ? "down" : "up" };
}
