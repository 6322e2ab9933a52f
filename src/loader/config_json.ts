/** Prints configs as Python's diffusers does: sorted keys, two spaces, floats as Python's repr. */
import { floatKeys } from "./number_types.js";

/** The version of diffusers whose semantics this library follows, written into every config. */
export const DIFFUSERS_VERSION = "0.42.1";

/**
 * Python's repr of a float: `0.00085`, `1e-05`, `80.0`, `-Infinity` (as json.dumps writes it).
 * JavaScript has the same shortest digits but other places where the exponent begins.
 */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (Object.is(value, -0)) return "-0.0";
  const [mantissa, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16))
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  if (Number.isInteger(value)) return `${BigInt(value)}.0`;
  return power < 0 ? value.toFixed(mantissa.replace(/\D/g, "").length - 1 - power) : String(value);
}

/** A whole number prints as Python's int unless its key is known to hold a float. */
function number(value: number, isFloat: boolean): string {
  return Number.isInteger(value) && !isFloat ? BigInt(value).toString() : pythonFloat(value);
}

/** json.dumps escapes everything that is not ASCII. */
const string = (value: string): string =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * `json.dumps(value, indent=2, sort_keys=True)`. JSON read in JavaScript cannot tell 1.0 from 1, so the keys whose numbers
 * are floats are named, and objects inside that came from a file have theirs from there.
 *
 * @param floats keys whose numbers (also inside lists) print with a point: `1.0`
 */
export function toJSONString(value: unknown, floats: ReadonlySet<string> = new Set()): string {
  return print(value, "", false);

  function print(item: unknown, indent: string, isFloat: boolean): string {
    if (item === null || item === undefined) return "null";
    if (typeof item === "boolean") return String(item);
    if (typeof item === "number") return number(item, isFloat);
    if (typeof item === "string") return string(item);
    if (typeof item !== "object") throw new TypeError(`config: cannot write a ${typeof item} as JSON`);
    const inner = `${indent}  `;
    const isList = Array.isArray(item) || ArrayBuffer.isView(item);
    const own = isList ? floats : floatKeys(item, floats);
    const lines = isList
      ? Array.from(item as ArrayLike<unknown>, (entry) => print(entry, inner, isFloat))
      : Object.entries(item)
          .sort(([a], [b]) => compareCodePoints(a, b))
          .map(([key, entry]) => `${string(key)}: ${print(entry, inner, own.has(key))}`);
    const [open, close] = isList ? "[]" : "{}";
    return lines.length === 0 ? open + close : `${open}\n${inner}${lines.join(`,\n${inner}`)}\n${indent}${close}`;
  }
}

const compareCodePoints = (a: string, b: string): number => {
  const [x, y] = [Array.from(a), Array.from(b)];
  const at = x.findIndex((c, i) => c !== y[i]);
  return at < 0 || at >= y.length ? x.length - y.length : (x[at].codePointAt(0) ?? 0) - (y[at].codePointAt(0) ?? 0);
};

/**
 * Python's repr of a JSON value, for warnings that quote a dict: `{'clip_sample': False}`. Other objects say what they are.
 * @param floats keys of the dict whose numbers print with a point
 */
export function pythonRepr(value: unknown, floats: ReadonlySet<string> = new Set(), isFloat = false): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return number(value, isFloat).replace("Infinity", "inf").replace("NaN", "nan");
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map((item) => pythonRepr(item, floats, isFloat)).join(", ")}]`;
  if (typeof value !== "object") return `<${typeof value}>`;
  if (![Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)) return String(value).trimEnd();
  return `{${Object.entries(value)
    .map(([key, item]) => `${quoted(key)}: ${pythonRepr(item, floats, floats.has(key))}`)
    .join(", ")}}`;
}

function quoted(value: string): string {
  const mark = value.includes("'") && !value.includes('"') ? '"' : "'";
  const body = JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"');
  return mark + (mark === "'" ? body.replaceAll("'", "\\'") : body) + mark;
}
