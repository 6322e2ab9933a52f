import { describe, expect, test } from "vitest";
import { assign, share, type Lived } from "../../src/tensor/lifetimes.js";
import { Random } from "../cases/data.js";

const meet = (a: Lived, b: Lived): boolean => a.first <= b.last && b.first <= a.last;
const sum = (slots: readonly { bytes: number }[]): number => slots.reduce((all, { bytes }) => all + bytes, 0);

/** A chain of ops, each of which reads what the one before wrote, and sometimes a result from long ago. */
function chain(seed: number, length: number): Lived[] {
  const random = new Random(seed);
  return Array.from({ length }, (_, first) => ({
    bytes: 16 * Math.ceil(2 ** (14 * random.next())),
    first,
    last: first + 1 + Math.floor(random.next() ** 6 * 40),
  }));
}

/** Ops write what the next ones read. */
const neighbours = (a: Lived, b: Lived): boolean => Math.abs(a.first - b.first) === 1;

describe("memory by lifetimes", () => {
  for (const seed of [1, 2, 3])
    test(`of a chain of 300, nothing is in the place of another while that lives, ${seed}`, () => {
      const all = chain(seed, 300);
      const slots = share(all, neighbours);
      expect(slots.flatMap(({ tenants }) => tenants.map(({ tenant }) => tenant.first)).sort((a, b) => a - b)).toEqual(
        all.map(({ first }) => first),
      );
      for (const { bytes, tenants } of slots)
        for (const [i, { tenant: a, offset }] of tenants.entries()) {
          expect(offset % 256).toBe(0);
          expect(offset + a.bytes).toBeLessThanOrEqual(bytes);
          for (const { tenant: b, offset: other } of tenants.slice(0, i).filter(({ tenant }) => meet(a, tenant))) {
            expect(offset + a.bytes <= other || other + b.bytes <= offset).toBe(true);
            expect(neighbours(a, b)).toBe(false);
          }
        }
      const atOnce = all.map(({ first }) => sum(all.filter((each) => each.first <= first && first <= each.last)));
      expect(sum(slots)).toBeGreaterThanOrEqual(Math.max(...atOnce));
      expect(sum(slots)).toBeLessThan(sum(assign(all)));
    });

  test("small ones lie beside each other in the place of a large one, in the tightest gap", () => {
    const [large, a, b, c] = [
      { bytes: 1024, first: 0, last: 1 },
      { bytes: 512, first: 2, last: 9 },
      { bytes: 300, first: 2, last: 5 },
      { bytes: 200, first: 4, last: 6 },
    ];
    const places = (apart: (x: Lived, y: Lived) => boolean): unknown =>
      share([c, b, a, large], apart).map(({ bytes, tenants }) => [bytes, ...tenants.map(({ offset }) => offset)]);
    expect(places(() => false)).toEqual([
      [1024, 0, 0, 512],
      [200, 0],
    ]);
    // What ends before it begins is no obstacle; what is written with it, is.
    expect(places((x, y) => [x, y].includes(a) && [x, y].includes(b))).toEqual([
      [1024, 0, 0, 512],
      [300, 0],
    ]);
  });
});
