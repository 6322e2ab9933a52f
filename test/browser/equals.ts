// Deep equality and printing as vitest has them, for the stand-in in browsers.

/**
 * vitest's toEqual, or toStrictEqual when `strict`: strict also compares classes and sees undefined properties.
 * Numbers compare by Object.is, so NaN equals NaN and 0 differs from -0. Cyclic values are not supported.
 */
export function equals(a: unknown, b: unknown, strict: boolean): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
  if (strict && a.constructor !== b.constructor) return false;
  if (a instanceof Error && b instanceof Error) return a.name === b.name && a.message === b.message;
  if (a instanceof Date || a instanceof RegExp) return String(a) === String(b) && Number(a) === Number(b as Date);
  if (a instanceof ArrayBuffer) return equals(new Uint8Array(a), new Uint8Array(b as ArrayBuffer), strict);
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, value]) => b.has(key) && equals(value, b.get(key), strict));
  if (a instanceof Set && b instanceof Set)
    return a.size === b.size && [...a].every((item) => [...b].some((other) => equals(item, other, strict)));
  if (Array.isArray(a) || ArrayBuffer.isView(a)) {
    const [left, right] = [a as ArrayLike<unknown>, b as ArrayLike<unknown>];
    if (left.length !== right.length) return false;
    for (let i = 0; i < left.length; i++) if (!equals(left[i], right[i], strict)) return false;
    return true;
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = (value: Record<string, unknown>): string[] =>
    Object.keys(value).filter((key) => strict || value[key] !== undefined);
  const names = keys(left);
  return (
    names.length === keys(right).length && names.every((key) => key in right && equals(left[key], right[key], strict))
  );
}

/** A value as text for an error message, cut at 500 characters. */
export function show(value: unknown): string {
  let text: string | undefined;
  if (value instanceof Error) text = `${value.name}: ${value.message}`;
  else if (typeof value === "object" && value !== null)
    try {
      const plain =
        value instanceof Map || value instanceof Set ? [...value] : ArrayBuffer.isView(value) ? listed(value) : value;
      text = JSON.stringify(plain, (_, item: unknown) => (typeof item === "number" ? number(item) : item));
    } catch {
      text = Object.prototype.toString.call(value); // cyclic
    }
  else text = typeof value === "string" ? JSON.stringify(value) : Object.is(value, -0) ? "-0" : String(value);
  text ??= String(value);
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}

const listed = (value: ArrayBufferView): unknown => Array.from((value as Float32Array).subarray(0, 100));

/** JSON has no NaN, infinities or -0. */
const number = (value: number): number | string =>
  Number.isFinite(value) && !Object.is(value, -0) ? value : `${value}`;
