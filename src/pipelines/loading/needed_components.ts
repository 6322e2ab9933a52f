/** Components that a call cannot do without: any may be null until then. */
import { shown } from "../../arguments/shown.js";
import { typeName, type ComponentClass } from "./given_components.js";

/** What a call needs a component for, and which classes can do it. */
export interface Need {
  readonly classes: readonly ComponentClass[];
  /** "to decode the latents", with what to do instead where there is something. */
  readonly purpose: string;
}

/** @throws TypeError naming a component that is missing, or of another class */
export function needComponent(className: string, name: string, component: unknown, { classes, purpose }: Need): void {
  if (classes.some((Class) => component instanceof (Class as never))) return;
  const names = classes.map((Class) => Class.className).join(" or ");
  throw new TypeError(`${className}: the component \`${name}\` is ${what(component)}; ${names} is needed ${purpose}`);
}

/** A class or its name in place of an object of it is what programs give that swap schedulers. */
function what(component: unknown): string {
  if (component === null || component === undefined) return "missing";
  if (typeName(component) !== typeof component) return `of class ${typeName(component)}`;
  const isClass = typeof component === "function" && "fromConfig" in component;
  return `${shown(component)}${isClass ? ", of which fromConfig(config) makes one" : ""}`;
}
