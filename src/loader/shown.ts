/** A value as errors show it: in one line, objects by their class, as a whole scheduler is no line of an error. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value);
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return String(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const { className, constructor } = value as {
    className?: unknown;
    constructor?: { className?: unknown; name?: unknown };
  };
  if (!constructor || constructor === Object) return `{ ${Object.keys(value).slice(0, 9).join(", ")} }`;
  return [className, constructor.className, constructor.name].find((name) => typeof name === "string") ?? "an object";
}
