// The five ways in which the keys of real files differ from the module paths of today's classes. Nothing else renames keys.

/** Attention blocks of the VAE's middle and of UNet2DModel, before diffusers 0.15 (ModelMixin._convert_deprecated_attention_blocks). */
const OLD_ATTENTION = /(^|\.)attentions\.(\d+)\.(query|key|value|proj_attn)\.(weight|bias)$/;

const ATTENTION_NAMES: Record<string, string> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/** `….attentions.0.query.weight` -> `….attentions.0.to_q.weight`, and so key, value, proj_attn; other keys unchanged. */
export function mapAttentionKey(key: string): string {
  return key.replace(
    OLD_ATTENTION,
    (_, start: string, index: string, name: string, kind: string) =>
      `${start}attentions.${index}.${ATTENTION_NAMES[name]}.${kind}`,
  );
}

/**
 * A key of a CLIP text encoder without its prefix. `encoder.layers.0.` alone would not do: AutoencoderTiny has such keys.
 */
const BARE_CLIP =
  /^(embeddings\.(token_embedding|position_embedding|position_ids)\b|encoder\.layers\.\d+\.(self_attn|mlp|layer_norm[12])\.|final_layer_norm\.)/;

/** transformers 5 saves CLIPTextModel without `text_model.`; our modules have it. Other keys are unchanged. */
export function mapCLIPKey(key: string): string {
  return BARE_CLIP.test(key) ? `text_model.${key}` : key;
}

/**
 * transformers 5 saves a safety checker with one level `vision_model.` less than its modules have, which those of other vision models
 * never had.
 * @param known the keys of the model
 */
function mapVisionKey(key: string, known: KnownKeys): string {
  const deeper = `vision_model.${key}`;
  return key.startsWith("vision_model.") && !known.has(key) && known.has(deeper) ? deeper : key;
}

/** Keys that a model has. */
export type KnownKeys = Pick<ReadonlySet<string>, "has">;

/** What no module has: a table 0..76 that old transformers saved, and time_proj.weight's second name in old NCSN++ files. */
export function isIgnoredKey(key: string): boolean {
  return /(^|\.)embeddings\.position_ids$/.test(key) || key === "time_proj.W";
}

/**
 * The module path that a key of a file stands for; null if the tensor is to be left out.
 * @param known the keys of the model, where it is known
 */
export function mapKey(key: string, known: KnownKeys = new Set()): string | null {
  return isIgnoredKey(key) ? null : mapVisionKey(mapCLIPKey(mapAttentionKey(key)), known);
}
