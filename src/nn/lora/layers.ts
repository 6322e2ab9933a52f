/** Which weights of a model the layers of a LoRA are for. */
import type { Module, Parameter } from "../module.js";
import { UNet2DConditionModel } from "../unet_2d_condition.js";

/** Weights that a LoRA can be added to, by the paths of their layers with underscores for dots, under every name that files have. */
export function loraTargets(model: Module): Map<string, [key: string, parameter: Parameter]> {
  const targets = new Map<string, [string, Parameter]>();
  const perBlock = model instanceof UNet2DConditionModel ? model.config.layers_per_block : null;
  for (const [key, parameter] of model.parameters()) {
    // Rows of tables (of tokens) have adapters of another kind.
    if (!key.endsWith(".weight") || (parameter.packing === "none" && parameter.holder === parameter)) continue;
    const path = key.slice(0, -".weight".length);
    // transformers 5 has no text_model in it.
    const names = [path, path.replace(/^text_model\./, "")];
    if (typeof perBlock === "number") names.push(originalPath(path, perBlock));
    for (const name of names) targets.set(name.replaceAll(".", "_"), [key, parameter]);
  }
  return targets;
}

const TOP: Record<string, string> = {
  conv_in: "input_blocks.0.0",
  conv_out: "out.2",
  "time_embedding.linear_1": "time_embed.0",
  "time_embedding.linear_2": "time_embed.2",
  "add_embedding.linear_1": "label_emb.0.0",
  "add_embedding.linear_2": "label_emb.0.2",
};

const RESNET: Record<string, string> = {
  conv1: "in_layers.2",
  time_emb_proj: "emb_layers.1",
  conv2: "out_layers.3",
  conv_shortcut: "skip_connection",
};

/**
 * The path that a UNet's layer has in the first implementation (Stability-AI/generative-models), which LoRAs for Stable Diffusion XL are
 * trained on: blocks are counted through, a resnet, its attention and a resampling each have a place in one.
 */
function originalPath(path: string, perBlock: number): string {
  if (Object.hasOwn(TOP, path)) return TOP[path];
  const found = /^(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)$/.exec(path);
  if (!found) return path;
  const [, side, block, kind, index, rest] = found;
  const inner = kind === "resnets" && Object.hasOwn(RESNET, rest) ? RESNET[rest] : rest;
  const place = kind === "resnets" ? 0 : 1;
  const first = Number(block) * (perBlock + 1);
  if (side === undefined) return `middle_block.${place === 1 ? 1 : 2 * Number(index)}.${inner}`;
  if (kind === "downsamplers") return `input_blocks.${1 + first + perBlock}.0.op`;
  // The third thing in its place: all of XL's blocks that are resampled have attention.
  if (kind === "upsamplers") return `output_blocks.${first + perBlock}.2.${inner}`;
  const at = first + Number(index);
  return side === "down" ? `input_blocks.${1 + at}.${place}.${inner}` : `output_blocks.${at}.${place}.${inner}`;
}
