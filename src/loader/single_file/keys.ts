/**
 * Keys of a checkpoint in one file, as the first implementations of Stable Diffusion save it (CompVis/latent-diffusion,
 * Stability-AI/generative-models), and what diffusers calls these tensors (diffusers/loaders/single_file_utils.py).
 */
import { diffusersUNetKey, renamed, type Names } from "../original_unet.js";

/** Where a tensor of such a file goes. */
export interface Place {
  component: "unet" | "vae" | "text_encoder" | "text_encoder_2";
  /** One key, or those of the thirds that its rows are. */
  keys: readonly string[];
  /** Rows and columns are exchanged there. */
  transposed?: boolean;
}

/** What of a model's shape the keys do not tell. */
export interface Layout {
  /** layers_per_block of the UNet. */
  layersPerBlock: number;
  /** Levels of the VAE's decoder, which are counted from the other end. */
  vaeLevels: number;
}

const UNET = "model.diffusion_model.";
const VAE = ["first_stage_model.", "vae."];
/** Text encoders as transformers has them, and as OpenCLIP. */
const CLIP = ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."];
const OPEN_CLIP: readonly [prefix: string, Place["component"]][] = [
  ["cond_stage_model.model.", "text_encoder"],
  ["conditioner.embedders.0.model.", "text_encoder_2"],
  ["conditioner.embedders.1.model.", "text_encoder_2"],
];

/** @returns null for what no model here needs: averages of training, schedules */
export function placeOf(key: string, layout: Layout): Place | null {
  if (key.startsWith(UNET)) return one("unet", diffusersUNetKey(key.slice(UNET.length), layout.layersPerBlock));
  const inVAE = VAE.find((prefix) => key.startsWith(prefix));
  // The VAE may be all that a file has.
  if (inVAE !== undefined || /^(encoder|decoder|quant_conv|post_quant_conv)\./.test(key))
    return one("vae", vaeKey(key.slice(inVAE?.length ?? 0), layout.vaeLevels));
  const inCLIP = CLIP.find((prefix) => key.startsWith(prefix));
  if (inCLIP !== undefined) return key.endsWith(".position_ids") ? null : one("text_encoder", key.slice(inCLIP.length));
  for (const [prefix, component] of OPEN_CLIP)
    if (key.startsWith(prefix)) return openClipPlace(component, key.slice(prefix.length));
  return null;
}

const one = (component: Place["component"], key: string): Place => ({ component, keys: [key] });

const VAE_ATTENTION: Names = [
  ["norm", "group_norm"],
  ["q", "to_q"],
  ["k", "to_k"],
  ["v", "to_v"],
  ["proj_out", "to_out.0"],
];

function vaeKey(key: string, levels: number): string {
  const mid = /^(encoder|decoder)\.mid\.(?:block_(\d)|attn_1)\.(.+)$/.exec(key);
  if (mid) {
    const [, half, resnet, rest] = mid;
    const place = resnet ? `resnets.${Number(resnet) - 1}.${rest}` : `attentions.0.${renamed(rest, VAE_ATTENTION, 0)}`;
    return `${half}.mid_block.${place}`.replace("nin_shortcut", "conv_shortcut");
  }
  const level = /^(encoder\.down|decoder\.up)\.(\d+)\.(?:block\.(\d+)|(?:down|up)sample)\.(.+)$/.exec(key);
  if (!level) return key.replace(/^(encoder|decoder)\.norm_out\./, "$1.conv_norm_out.");
  const [, side, index, resnet, rest] = level;
  const up = side === "decoder.up";
  const place = resnet === undefined ? `${up ? "up" : "down"}samplers.0` : `resnets.${resnet}`;
  const block = up ? levels - 1 - Number(index) : Number(index);
  return `${side}_blocks.${block}.${place}.${rest.replace("nin_shortcut", "conv_shortcut")}`;
}

const OPEN_CLIP_TOP: Readonly<Record<string, string>> = {
  positional_embedding: "text_model.embeddings.position_embedding.weight",
  "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
  "ln_final.weight": "text_model.final_layer_norm.weight",
  "ln_final.bias": "text_model.final_layer_norm.bias",
};

const OPEN_CLIP_LAYER: Names = [
  ["ln_1", "layer_norm1"],
  ["ln_2", "layer_norm2"],
  ["mlp.c_fc", "mlp.fc1"],
  ["mlp.c_proj", "mlp.fc2"],
  ["attn.out_proj", "self_attn.out_proj"],
];

/** Stable Diffusion 2's encoder stops before its last layer, which its config does without. */
const UNUSED_LAYER = "23";

function openClipPlace(component: Place["component"], key: string): Place | null {
  if (Object.hasOwn(OPEN_CLIP_TOP, key)) return one(component, OPEN_CLIP_TOP[key]);
  const isSecond = component === "text_encoder_2";
  if (key === "text_projection" && isSecond) return { ...one(component, "text_projection.weight"), transposed: true };
  const layer = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(key);
  if (!layer || (!isSecond && layer[1] === UNUSED_LAYER)) return null;
  const path = `text_model.encoder.layers.${layer[1]}`;
  const thirds = /^attn\.in_proj_(weight|bias)$/.exec(layer[2]);
  if (thirds) return { component, keys: ["q", "k", "v"].map((name) => `${path}.self_attn.${name}_proj.${thirds[1]}`) };
  return one(component, `${path}.${renamed(layer[2], OPEN_CLIP_LAYER, 0)}`);
}
