/** Arguments of the methods for LoRAs. */
import { isPlain } from "../../arguments/config_object.js";
import { shown } from "../../arguments/shown.js";

/** Models that take LoRAs. */
export type LoraComponent = "unet" | "text_encoder" | "text_encoder_2";

/** How much a LoRA counts, in all models or by their names: where one is not named, 1. */
export type AdapterWeight = number | Partial<Record<LoraComponent, number | null>> | null;

/** One for all LoRAs, or one for each. */
export type AdapterWeights = AdapterWeight | readonly AdapterWeight[];

/** @throws TypeError for anything but names */
export function namesOf(caller: string, names: unknown): string[] {
  const list: unknown[] = typeof names === "string" ? [names] : Array.isArray(names) ? (names as unknown[]) : [];
  if (list.length > 0 && list.every((name): name is string => typeof name === "string")) return list;
  if (Array.isArray(names) && names.length === 0) return [];
  throw new TypeError(`${caller}: the adapters' names must be a text or a list of them, got ${shown(names)}`);
}

/** @throws RangeError, TypeError naming the one that there is not */
export function checkComponents(caller: string, components: unknown, known: readonly string[]): void {
  if (!Array.isArray(components) || components.length === 0)
    throw new TypeError(`${caller}: components must be a list of ${known.join(", ")}, got ${shown(components)}`);
  for (const name of components as unknown[])
    if (!known.includes(name as string))
      throw new RangeError(`${caller}: components must be of ${known.join(", ")}, got ${shown(name)}`);
}

/** The weights of a component's LoRAs, by their names. @throws TypeError, RangeError naming what is wrong */
export function adapterWeights(
  caller: string,
  names: readonly string[],
  given: AdapterWeights | null | undefined,
  components: readonly string[],
): (component: LoraComponent) => ReadonlyMap<string, number> {
  const each: readonly unknown[] = Array.isArray(given) ? given : names.map(() => given);
  if (each.length !== names.length)
    throw new RangeError(`${caller}: there are ${names.length} adapters' names and ${each.length} weights`);
  const checked = each.map((weight) => checkWeight(caller, weight, components));
  return (component) => new Map(names.map((name, i) => [name, checked[i](component)]));
}

function checkWeight(caller: string, weight: unknown, components: readonly string[]): (component: string) => number {
  const number = (value: unknown): number => {
    if (value === null || value === undefined) return 1;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    const cure = isPlain(value) ? "; weights by block are not supported" : "";
    throw new TypeError(`${caller}: an adapter's weight must be a finite number, got ${shown(value)}${cure}`);
  };
  if (!isPlain(weight)) {
    const all = number(weight);
    return () => all;
  }
  const given = Object.entries(weight as Record<string, unknown>);
  const strange = given.map(([name]) => name).filter((name) => !components.includes(name));
  if (strange.length > 0)
    throw new RangeError(`${caller}: weights are for ${components.join(", ")}, got some for ${strange.join(", ")}`);
  const own = new Map(given.map(([name, value]) => [name, number(value)]));
  return (component) => own.get(component) ?? 1;
}
