/** Scheduler classes by name. The names are explicit strings: `Class.name` does not survive a minifier. */
import { shown } from "../arguments/shown.js";
import type { ConfiguredClass } from "./configured_scheduler.js";
import type { FlaxSchedulerClass } from "./flax/flax_scheduler.js";
import type { SchedulerClass } from "./scheduler.js";

const classes = new Map<string, SchedulerClass>();
const flaxClasses = new Map<string, FlaxSchedulerClass>();

/** Makes classes known by their `className`, to configs and to `schedulerClass`. */
export function registerSchedulers(...added: readonly SchedulerClass[]): void {
  for (const scheduler of added) classes.set(scheduler.className, scheduler);
}

/** Makes stateless classes known to configs. They are no schedulers of `schedulerClass`: their surface is another. */
export function registerFlaxSchedulers(...added: readonly FlaxSchedulerClass[]): void {
  for (const scheduler of added) flaxClasses.set(scheduler.className, scheduler);
}

/** The stateless class of that name (`"FlaxDDIMScheduler"`), or undefined. */
export const findFlaxScheduler = (className: string): FlaxSchedulerClass | undefined => flaxClasses.get(className);

/** Names of the stateless classes. */
export const flaxSchedulerNames = (): string[] => [...flaxClasses.keys()];

/** Whatever has a config of that class name, or undefined. */
export const findConfigured = (className: string): ConfiguredClass | undefined =>
  classes.get(className) ?? flaxClasses.get(className);

/** Names of all schedulers of this library, sorted. */
export const schedulerNames = (): string[] => [...classes.keys()].sort();

/**
 * The class of a scheduler by diffusers' name, e.g. `"DDIMScheduler"`.
 * @throws RangeError for an unknown name, naming the nearest, if one is alike, and all known ones
 */
export function schedulerClass(className: string): SchedulerClass {
  const found = classes.get(className);
  if (found) return found;
  const names = schedulerNames();
  const text = String(className).slice(0, 80);
  const [nearest] = names
    .map((name) => {
      const whole = distance(text.toLowerCase(), name.toLowerCase());
      return [Math.min(whole, distance(stem(text), stem(name))), name] as const;
    })
    .filter(([edits, name]) => edits <= stem(name).length / 2)
    .sort((a, b) => a[0] - b[0]);
  const hint = nearest ? ` Did you mean ${nearest[1]}?` : "";
  throw new RangeError(`scheduler: unknown class ${shown(className)}.${hint} Known: ${names.join(", ")}`);
}

/** What tells schedulers apart: their names without the words that most of them share. */
const stem = (name: string): string => name.toLowerCase().replace(/scheduler|discrete|multistep/g, "");

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length];
}
