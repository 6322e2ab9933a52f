/** How much an IP-Adapter's pictures count in each attention, _maybe_expand_lora_scales of diffusers' unet_loader_utils.py. */
import { shown } from "../../arguments/shown.js";

/** One number for a block, or a list of one for each of its transformers. */
export type BlockScale = number | readonly number[];

/** By blocks; what is not named counts 0: `{ up: { block_0: [0, 1, 0] } }` takes a picture's style alone. */
export interface BlockScales {
  down?: BlockScale | Readonly<Record<string, BlockScale>>;
  mid?: BlockScale;
  up?: BlockScale | Readonly<Record<string, BlockScale>>;
}

/** Of one adapter. */
export type ImagePromptScale = number | BlockScales;

/** ["down", 1, 0]: a transformer of a UNet. */
const PLACE = /^(down|mid|up)_blocks?\.(?:(\d+)\.)?attentions\.(\d+)\./;

/**
 * @param paths of all attentions that there are
 * @returns the scale of each
 * @throws TypeError, RangeError naming what is no scale, and blocks and transformers that the UNet has not
 */
export function scalesByPath(
  caller: string,
  scale: ImagePromptScale,
  paths: readonly string[],
): (path: string) => number {
  if (typeof scale === "number") {
    checkNumber(caller, "scale", scale);
    return () => scale;
  }
  if (typeof scale !== "object" || scale === null || Array.isArray(scale))
    throw new TypeError(`${caller}: a scale must be a number or { down, mid, up }, got ${shown(scale)}`);
  const counts = new Map<string, number>();
  for (const path of paths) {
    const { part, block, index } = placeIn(path);
    const name = blockName(part, block);
    counts.set(name, Math.max(counts.get(name) ?? 0, index + 1));
  }
  const known = new Map<string, readonly number[]>();
  for (const [part, given] of Object.entries(scale) as [string, BlockScale | Record<string, BlockScale>][]) {
    const names = [...counts.keys()].filter((name) => name.split(".")[0] === part);
    if (!["down", "mid", "up"].includes(part) || names.length === 0) refuse(caller, part);
    if (typeof given === "object" && given !== null && !Array.isArray(given)) {
      for (const [block, each] of Object.entries(given as Record<string, BlockScale>)) {
        const name = `${part}.${block}`;
        if (!counts.has(name)) refuse(caller, name);
        known.set(name, spread(caller, name, each, counts.get(name)!));
      }
    } else for (const name of names) known.set(name, spread(caller, name, given as BlockScale, counts.get(name)!));
  }
  return (path) => {
    const { part, block, index } = placeIn(path);
    return known.get(blockName(part, block))?.[index] ?? 0;
  };
}

const blockName = (part: string, block: string | undefined): string =>
  block === undefined ? part : `${part}.block_${block}`;

function placeIn(path: string): { part: string; block: string | undefined; index: number } {
  const [, part, block, index] = PLACE.exec(path) as RegExpExecArray;
  return { part, block: block as string | undefined, index: Number(index) };
}

function spread(caller: string, name: string, given: BlockScale, count: number): number[] {
  const list = typeof given === "number" ? [given] : given;
  if (!Array.isArray(list)) throw new TypeError(`${caller}: ${name} must be a number or a list, got ${shown(given)}`);
  for (const each of list as unknown[]) checkNumber(caller, name, each);
  if (list.length === 1) return new Array<number>(count).fill((list as number[])[0]);
  if (list.length !== count)
    throw new RangeError(`${caller}: Expected ${count} scales for ${name}, got ${list.length}.`);
  return list as number[];
}

function checkNumber(caller: string, name: string, value: unknown): void {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new TypeError(`${caller}: ${name} must be a finite number, got ${shown(value)}`);
}

function refuse(caller: string, layer: string): never {
  throw new RangeError(
    `${caller}: Can't set the scale for layer ${layer}. It either doesn't exist in this unet or it has no attentions.`,
  );
}
