import fc from "fast-check";
import { expect, test } from "vitest";
import { readSafetensorsHeader, SafetensorsError, type SafetensorsHeader } from "../../src/loader/safetensors.js";
import { memoryFile } from "../support/goldens.js";
import { safetensors } from "./safetensors_corpus.js";

/** Always the same files. */
const RUNS = { numRuns: 2500, seed: 8 };

const BYTES = { U8: 1, BOOL: 1, F16: 2, BF16: 2, F32: 4, I64: 8 } as const;

interface Written {
  name: string;
  dtype: keyof typeof BYTES;
  shape: number[];
  data_offsets: [number, number];
}

const read = (header: string, data: number): Promise<SafetensorsHeader> =>
  readSafetensorsHeader(memoryFile(safetensors(header, data), "x.safetensors"));

/** Tensors of any names and shapes that cover their data, as they lie there. */
const files = fc
  .uniqueArray(
    fc.record({
      name: fc.string({ unit: "grapheme", maxLength: 12 }).filter((name) => name !== "__metadata__"),
      dtype: fc.constantFrom(...(Object.keys(BYTES) as (keyof typeof BYTES)[])),
      shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    }),
    { selector: ({ name }) => name, minLength: 1, maxLength: 6 },
  )
  .map((tensors) => {
    let end = 0;
    return tensors.map((tensor): Written => {
      const start = end;
      end += tensor.shape.reduce((a, b) => a * b, BYTES[tensor.dtype]);
      return { ...tensor, data_offsets: [start, end] };
    });
  });

const headerOf = (tensors: readonly Written[]): string =>
  `{${tensors.map(({ name, ...rest }) => `${JSON.stringify(name)}:${JSON.stringify(rest)}`).join(",")}}`;
const sizeOf = (tensors: readonly Written[]): number => Math.max(...tensors.map((each) => each.data_offsets[1]));

test("what is written is read, in any order of the header", async () => {
  const shuffled = files.chain((tensors) =>
    fc.tuple(fc.constant(tensors), fc.shuffledSubarray(tensors, { minLength: tensors.length })),
  );
  await fc.assert(
    fc.asyncProperty(shuffled, async ([tensors, listed]) => {
      const header = headerOf(listed);
      const start = 8 + new TextEncoder().encode(header).length;
      const { entries } = await read(header, sizeOf(tensors));
      expect([...entries.values()]).toEqual(
        listed.map(({ data_offsets: [from, to], ...rest }) => ({ ...rest, start: start + from, end: start + to })),
      );
    }),
    RUNS,
  );
});

/** Each makes of a good file one that lies. */
const LIES: Record<string, (tensors: readonly Written[], some: number) => [header: string, data: number]> = {
  "a byte too few": (tensors) => [headerOf(tensors), sizeOf(tensors) - 1],
  "a byte too many": (tensors) => [headerOf(tensors), sizeOf(tensors) + 1],
  "a tensor twice": (tensors, some) => [headerOf([...tensors, tensors[some]]), sizeOf(tensors)],
  "a hole": (tensors, some) => [headerOf(moved(tensors, some, 1)), sizeOf(tensors) + 1],
  "an overlap": (tensors, some) => [headerOf(moved(tensors, some, -1)), sizeOf(tensors)],
  "another shape": (tensors, some) => [
    headerOf(tensors.map((each, i) => (i === some ? { ...each, shape: [...each.shape, 7] } : each))),
    sizeOf(tensors),
  ],
  "a dtype of nobody": (tensors, some) => [
    headerOf(tensors.map((each, i) => (i === some ? { ...each, dtype: "toString" as "U8" } : each))),
    sizeOf(tensors),
  ],
  "a field more": (tensors, some) => [
    headerOf(tensors.map((each, i) => (i === some ? { ...each, strides: [1] } : each))),
    sizeOf(tensors),
  ],
  "text behind the end": (tensors) => [`${headerOf(tensors)}x`, sizeOf(tensors)],
  "a header cut short": (tensors) => [headerOf(tensors).slice(0, -1), sizeOf(tensors)],
};

/** The tensor of that number and all behind it elsewhere. */
const moved = (tensors: readonly Written[], some: number, by: number): Written[] =>
  tensors.map((each, i) => {
    const [from, to] = each.data_offsets;
    return i < some ? each : { ...each, data_offsets: [from + by, to + by] };
  });

for (const [lie, tell] of Object.entries(LIES))
  test(`a file with ${lie} is refused, by name`, async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.nat(), async (tensors, number) => {
        // What has no bytes can lie nowhere wrong, and has any shape with a 0 in it.
        const full = tensors.filter(({ data_offsets: [from, to] }) => to > from);
        fc.pre(full.length > 0);
        const [header, data] = tell(tensors, tensors.indexOf(full[number % full.length]));
        await expect(read(header, data)).rejects.toThrow(SafetensorsError);
        await expect(read(header, data)).rejects.toThrow(/^x\.safetensors: /);
      }),
      { ...RUNS, numRuns: 300 },
    );
  });
