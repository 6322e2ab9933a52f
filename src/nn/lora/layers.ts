/** Which weights of a model the layers of a LoRA are for. */
import { originalUNetPath } from "../../loader/original_unet.js";
import type { Module, Parameter } from "../module.js";
import { UNet2DConditionModel } from "../unet/unet_2d_condition.js";

/** Weights that a LoRA can be added to, by the paths of their layers with underscores for dots, under every name that files have. */
export function loraTargets(model: Module): Map<string, [key: string, parameter: Parameter]> {
  const targets = new Map<string, [string, Parameter]>();
  const perBlock = model instanceof UNet2DConditionModel ? model.config.layers_per_block : null;
  for (const [key, parameter] of model.parameters()) {
    // Rows of tables (of tokens) have adapters of another kind.
    if (!key.endsWith(".weight") || (parameter.packing === "none" && parameter.holder === parameter)) continue;
    const path = key.slice(0, -".weight".length);
    // transformers 5 has no text_model in it, and LoRAs for XL are trained on another UNet.
    const names = [path, path.replace(/^text_model\./, "")];
    if (typeof perBlock === "number") names.push(originalUNetPath(path, perBlock));
    for (const name of names) targets.set(name.replaceAll(".", "_"), [key, parameter]);
  }
  return targets;
}
