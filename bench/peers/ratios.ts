/** How much faster this library is than the best of the others. */
import type { PeerResult, PeerWay } from "../results.js";

export const OURS = "ours";

/** The fastest right way of a library, or of all that `of` accepts. */
export function fastest({ ways }: Pick<PeerResult, "ways">, of: (library: string) => boolean): PeerWay | undefined {
  const timed = ways.filter(({ library, status, ms }) => of(library) && status === "ok" && ms !== undefined);
  return timed.sort((a, b) => a.ms! - b.ms!)[0];
}

/** The best right peer's time over ours: above 1, ours is faster. Undefined where either has no time. */
export function ratioOf(result: Pick<PeerResult, "ways">): number | undefined {
  const ours = fastest(result, (library) => library === OURS);
  const peer = fastest(result, (library) => library !== OURS);
  return ours && peer && peer.ms! / ours.ms!;
}

/** @throws RangeError for no values or values that are not above 0 */
export function geometricMean(values: readonly number[]): number {
  if (values.length === 0 || !values.every((value) => value > 0))
    throw new RangeError(`geometricMean: needs numbers above 0, got [${values.join(", ")}]`);
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** The libraries of the results, ours first. */
export const librariesOf = (results: readonly Pick<PeerResult, "ways">[]): string[] => [
  ...new Set([OURS, ...results.flatMap(({ ways }) => ways.map(({ library }) => library))]),
];

/** Peer's time over ours per library and, last, of the best peer per op; over the ops that have both times. */
export function means(results: readonly PeerResult[]): { name: string; mean?: number; ops: number }[] {
  const perLibrary = librariesOf(results)
    .filter((name) => name !== OURS)
    .map((name) => ({
      name,
      ratios: results.map(({ ways }) =>
        ratioOf({ ways: ways.filter(({ library }) => library === OURS || library === name) }),
      ),
    }));
  return [...perLibrary, { name: "best peer", ratios: results.map(ratioOf) }].map(({ name, ratios }) => {
    const known = ratios.filter((ratio) => ratio !== undefined);
    return { name, mean: known.length > 0 ? geometricMean(known) : undefined, ops: known.length };
  });
}
