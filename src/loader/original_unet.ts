/**
 * A UNet's layers in the first implementations of Stable Diffusion (CompVis/latent-diffusion, Stability-AI/generative-models), after which
 * checkpoints in one file and LoRAs for XL name their weights. Blocks are counted through there: each has so many places for a resnet and
 * its attention, and one for a resampling. (diffusers/loaders/single_file_utils.py, lora_conversion_utils.py)
 */

/** Names there and in diffusers. */
export type Names = readonly (readonly [original: string, diffusers: string])[];

const TOP: Names = [
  ["time_embed.0", "time_embedding.linear_1"],
  ["time_embed.2", "time_embedding.linear_2"],
  ["label_emb.0.0", "add_embedding.linear_1"],
  ["label_emb.0.2", "add_embedding.linear_2"],
  ["label_emb.weight", "class_embedding.weight"],
  ["input_blocks.0.0", "conv_in"],
  ["out.0", "conv_norm_out"],
  ["out.2", "conv_out"],
];

const RESNET: Names = [
  ["in_layers.0", "norm1"],
  ["in_layers.2", "conv1"],
  ["out_layers.0", "norm2"],
  ["out_layers.3", "conv2"],
  ["emb_layers.1", "time_emb_proj"],
  ["skip_connection", "conv_shortcut"],
];

/** A path or key, its beginning under the other name where it is one of these. */
export function renamed(path: string, names: Names, from: 0 | 1): string {
  const found = names.find((pair) => path === pair[from] || path.startsWith(`${pair[from]}.`));
  return found ? found[1 - from] + path.slice(found[from].length) : path;
}

/** @param key of a layer or its weight there; perBlock: layers_per_block of the config */
export function diffusersUNetKey(key: string, perBlock: number): string {
  const found = /^(input_blocks|output_blocks|middle_block)\.(\d+)\.(?:(\d+)\.)?(.+)$/.exec(key);
  if (!found || key.startsWith("input_blocks.0.")) return renamed(key, TOP, 0);
  const [, side, index, inner, rest] = found;
  const at = Number(index);
  if (side === "middle_block") {
    const behind = inner === undefined ? rest : `${inner}.${rest}`;
    return at === 1 ? `mid_block.attentions.0.${behind}` : `mid_block.resnets.${at / 2}.${renamed(behind, RESNET, 0)}`;
  }
  const from = side === "input_blocks" ? at - 1 : at;
  const block = `${side === "input_blocks" ? "down" : "up"}_blocks.${Math.floor(from / (perBlock + 1))}`;
  const layer = from % (perBlock + 1);
  if (rest.startsWith("op.")) return `${block}.downsamplers.0.conv.${rest.slice("op.".length)}`;
  if (rest.startsWith("conv.")) return `${block}.upsamplers.0.${rest}`;
  return inner === "0"
    ? `${block}.resnets.${layer}.${renamed(rest, RESNET, 0)}`
    : `${block}.attentions.${layer}.${rest}`;
}

/** The other way round. @param path of a layer in diffusers */
export function originalUNetPath(path: string, perBlock: number): string {
  const found = /^(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)$/.exec(path);
  if (!found) return renamed(path, TOP, 1);
  const [, side, block, kind, index, rest] = found;
  const isResnet = kind === "resnets";
  const inner = isResnet ? renamed(rest, RESNET, 1) : rest;
  const place = isResnet ? 0 : 1;
  if (side === undefined) return `middle_block.${isResnet ? 2 * Number(index) : 1}.${inner}`;
  const first = Number(block) * (perBlock + 1);
  if (kind === "downsamplers") return `input_blocks.${1 + first + perBlock}.0.op`;
  // The third thing in its place: all of XL's blocks that are resampled have attention.
  if (kind === "upsamplers") return `output_blocks.${first + perBlock}.2.${inner}`;
  const at = first + Number(index);
  return side === "down" ? `input_blocks.${1 + at}.${place}.${inner}` : `output_blocks.${at}.${place}.${inner}`;
}
