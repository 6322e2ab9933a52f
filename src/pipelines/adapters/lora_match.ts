/** Which layers of which models a file of LoRA weights is for. */
import type { Adapter } from "../../nn/lora/adapters.js";
import type { LoraFile, LoraLayer } from "../../nn/lora/file.js";
import { loraTargets } from "../../nn/lora/layers.js";
import type { Module, Parameter } from "../../nn/module.js";
import { product } from "../../tensor/dtype.js";

/**
 * @param models by component
 * @returns adapters by component. What the pipeline has no model or layer for is left out, with a warning
 * @throws Error where nothing fits, and for a layer of another size
 */
export function adaptersFor(caller: string, file: LoraFile, models: ReadonlyMap<string, Module>): Map<string, Adapter> {
  const adapters = new Map<string, Adapter>();
  const strange: string[] = [];
  for (const [component, layers] of file.components) {
    const model = models.get(component);
    const targets = model && loraTargets(model);
    const found = new Map<string, LoraLayer>();
    for (const [name, layer] of layers) {
      const target = targets?.get(name);
      if (!target) strange.push(`${component} ${name}`);
      else {
        const [key, parameter] = target;
        const fault = misfit(layer, parameter);
        if (fault) throw new Error(`${caller}: ${file.path} does not fit ${key} of \`${component}\`: ${fault}`);
        found.set(key, layer);
      }
    }
    if (found.size > 0) adapters.set(component, { file, layers: found });
  }
  const shown = `${strange.slice(0, 4).join(", ")}${strange.length > 4 ? ` and ${strange.length - 4} more` : ""}`;
  if (adapters.size === 0)
    throw new Error(
      `${caller}: ${file.path} has no weights for the models of this pipeline; it is for the layers ${shown}`,
    );
  if (strange.length > 0)
    console.warn(
      `${caller}: ${file.path} has weights for layers that this pipeline has not, which are left out: ${shown}`,
    );
  return adapters;
}

function misfit({ down, up }: LoraLayer, { shape }: Parameter): string | null {
  const [out] = shape;
  const [rank] = down.shape;
  const fits = product(up.shape) === out * rank && product(down.shape) * out === product(shape) * rank;
  return fits
    ? null
    : `its weight is [${shape.join(", ")}], and the file has [${up.shape.join(", ")}] times [${down.shape.join(", ")}]; it was made for another model`;
}
