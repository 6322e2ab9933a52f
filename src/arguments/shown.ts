/** How error messages show the values that they got. */

/** Characters of a value at most. */
const LIMIT = 100;
/** Lists in lists, and the items of one that may be seen within LIMIT. */
const DEPTH = 3;
const ITEMS = 40;

/**
 * A value on one line, cut at 100 characters: strings in quotes, numbers as they are (JSON has no NaN), typed arrays by class and
 * length, other objects and functions by name.
 */
export function shown(value: unknown): string {
  const text = textOf(value, DEPTH);
  return text.length > LIMIT ? `${text.slice(0, LIMIT)}…` : text;
}

function textOf(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, LIMIT));
  if (typeof value === "function") return nameOfFunction(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (ArrayBuffer.isView(value))
    return `${classOf(value)}(${(value as { length?: number }).length ?? value.byteLength})`;
  const list = Array.isArray(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!list && prototype !== null && prototype !== Object.prototype) return textOfInstance(value);
  if (depth === 0) return list ? "[…]" : "{…}";
  if (list)
    return `[${(value as unknown[])
      .slice(0, ITEMS)
      .map((item) => textOf(item, depth - 1))
      .join(", ")}]`;
  const entries = Object.entries(value).slice(0, ITEMS);
  return entries.length > 0
    ? `{ ${entries.map(([key, item]) => `${key}: ${textOf(item, depth - 1)}`).join(", ")} }`
    : "{}";
}

/** What it says of itself, where that is more than "[object Object]" and less than a page. */
function textOfInstance(value: object): string {
  const own = String(value);
  return own.startsWith("[object ") || own.includes("\n") ? classOf(value) : own;
}

function nameOfFunction(value: { readonly name: string; readonly className?: unknown }): string {
  if (!value.constructor.name.endsWith("Function")) return classOf(value); // pipelines can be called, too
  return `${String(value).startsWith("class") ? "class" : "function"} ${String(value.className ?? value.name) || "(anonymous)"}`;
}

/** By what the class says of itself, where it does: its name does not survive minifying. */
function classOf(value: object): string {
  const { className, name } = value.constructor as { className?: string; name: string };
  return className ?? name;
}
