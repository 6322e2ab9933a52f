/** The two spellings of names: what is read from files has snake_case, every other option camelCase; Python has the first only. */

const camelCase = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The one of `known` that `name` would be in the other spelling. */
const respelt = (name: string, known: readonly string[]): string | undefined =>
  known.includes(name) ? undefined : [camelCase(name), snakeCase(name)].find((other) => known.includes(other));

export type WithoutNulls<T> = { [K in keyof T]: Exclude<T[K], null> };

/**
 * Options with those of `known` under these names, where they were given in the other spelling, and without those of them that are
 * null, which is as nothing there, as Python's None. Other names keep their nulls, which may say something: that a component is
 * left out, or a value of a config.
 */
export function givenOptions<T extends object>(options: T, known: readonly string[]): WithoutNulls<T> {
  const named = Object.entries(options).map(
    ([name, value]) => [respelt(name, known) ?? name, value as unknown] as const,
  );
  return Object.fromEntries(
    named.filter(([name, value]) => value !== null || !known.includes(name)),
  ) as WithoutNulls<T>;
}

/** Said of a name that is no option: the one that was meant, if only its spelling is Python's; else all there are. */
export function hint(name: string, known: readonly string[]): string {
  const meant = respelt(name, known);
  return meant ? `(it is \`${meant}\`)` : `(there are ${known.join(", ") || "none"})`;
}

/**
 * Unknown options are ignored, as in Python. But one that lacks nothing except its spelling was meant, and nobody would
 * see that it does nothing.
 * @throws TypeError naming it and what it is called
 */
export function refuseRespelt(className: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    const meant = respelt(name, known);
    if (meant) throw new TypeError(`${className}: has no option ${name} (it is ${meant})`);
  }
}
