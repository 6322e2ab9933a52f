/** Components that a call cannot do without: any may be null until then. */
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
  const is = component === null || component === undefined ? "missing" : `of class ${typeName(component)}`;
  throw new TypeError(`${className}: the component \`${name}\` is ${is}; ${names} is needed ${purpose}`);
}
