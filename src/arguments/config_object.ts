/** What is taken for a config: plain objects, frozen ones among them. */
import { shown } from "./shown.js";

/** As a type: what has a config is none itself. */
export type ConfigObject = (object | Readonly<Record<string, unknown>>) & { readonly config?: undefined };

/** @throws TypeError for anything but a plain object, with what to give instead */
export function checkConfigObject(caller: string, given: unknown): void {
  if (isPlain(given)) return;
  const cure = hasConfig(given)
    ? "; pass its .config"
    : typeof given === "string"
      ? "; for a folder use fromPretrained"
      : "";
  throw new TypeError(`${caller}: needs a config object, got ${shown(given)}${cure}`);
}

/** Whether it is a plain object; also one of another window or vm context, whose Object.prototype is not ours. */
export function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const hasConfig = (value: unknown): boolean => typeof value === "object" && value !== null && "config" in value;
