/**
 * Which LoRAs a model has and what of them counts, diffusers' and peft's adapters, as a value: every change gives another one, so that
 * one that fails leaves the last as it was.
 */
import type { LoraFile, LoraLayer } from "./file.js";

/** A LoRA's part of one model. */
export interface Adapter {
  readonly file: LoraFile;
  /** By the keys of the model's weights. */
  readonly layers: ReadonlyMap<string, LoraLayer>;
}

export interface Adapters {
  /** All that are loaded, by name. */
  readonly all: ReadonlyMap<string, Adapter>;
  /** Those that count, and how much. */
  readonly active: ReadonlyMap<string, number>;
  /** Those that are fused, and how much: that stays when the active ones change. */
  readonly fused: ReadonlyMap<string, number>;
  /** Fused ones that were unloaded: they are part of the model now. */
  readonly kept: readonly { name: string; adapter: Adapter; scale: number }[];
  readonly enabled: boolean;
}

export const NO_ADAPTERS: Adapters = {
  all: new Map(),
  active: new Map(),
  fused: new Map(),
  kept: [],
  enabled: true,
};

/** With one more, which alone is active, as in diffusers. */
export const withAdapter = (of: Adapters, name: string, adapter: Adapter): Adapters => ({
  ...of,
  all: new Map([...of.all, [name, adapter]]),
  active: new Map([[name, 1]]),
});

/** Those of `weights` that the model has are active, and no others. */
export const activated = (of: Adapters, weights: ReadonlyMap<string, number>): Adapters => ({
  ...of,
  active: new Map([...weights].filter(([name]) => of.all.has(name))),
});

/** Without some. Where no active one remains, the first of the others becomes it, as in peft. */
export function withoutAdapters(of: Adapters, names: readonly string[]): Adapters {
  const rest = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...map].filter(([name]) => !names.includes(name)));
  const all = rest(of.all);
  const active = rest(of.active);
  const [first] = all.keys();
  if (active.size === 0 && of.active.size > 0 && first !== undefined) active.set(first, 1);
  return { ...of, all, active, fused: rest(of.fused) };
}

/** Without any; what is fused stays in the weights for good. */
export const unloaded = (of: Adapters): Adapters => ({
  ...NO_ADAPTERS,
  kept: [...of.kept, ...[...of.fused].map(([name, scale]) => ({ name, adapter: of.all.get(name)!, scale }))],
});

/** With active ones fused, at their weights times `scale`. @param names by default all active ones */
export function fused(of: Adapters, scale: number, names?: readonly string[]): Adapters {
  const more = [...of.active].filter(([name]) => (names?.includes(name) ?? true) && !of.fused.has(name));
  return { ...of, fused: new Map([...of.fused, ...more.map(([name, weight]) => [name, weight * scale] as const)]) };
}

export const unfused = (of: Adapters): Adapters => ({ ...of, fused: new Map() });

/** What is added to one weight. */
export interface Share {
  readonly file: LoraFile;
  readonly layer: LoraLayer;
  readonly scale: number;
}

/**
 * What is added to which weights, by their keys.
 * @param scale of what is not fused
 */
export function shares({ all, active, fused, kept, enabled }: Adapters, scale: number): Map<string, Share[]> {
  const counting: { adapter: Adapter; scale: number }[] = [...kept];
  for (const [name, adapter] of enabled ? all : []) {
    const weight = fused.get(name) ?? (active.get(name) ?? 0) * scale;
    if (weight !== 0) counting.push({ adapter, scale: weight });
  }
  const found = new Map<string, Share[]>();
  for (const { adapter, scale } of counting)
    for (const [key, layer] of adapter.layers) {
      const own = found.get(key) ?? [];
      found.set(key, [...own, { file: adapter.file, layer, scale: scale * layer.scale }]);
    }
  return found;
}

/** Keys of which other things are added in `a` than in `b`. */
export function changedKeys(
  a: ReadonlyMap<string, readonly Share[]>,
  b: ReadonlyMap<string, readonly Share[]>,
): Set<string> {
  const same = (x: readonly Share[] = [], y: readonly Share[] = []): boolean =>
    x.length === y.length && x.every(({ layer, scale }, i) => layer === y[i].layer && scale === y[i].scale);
  return new Set([...a.keys(), ...b.keys()].filter((key) => !same(a.get(key), b.get(key))));
}
